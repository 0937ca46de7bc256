"""``paidup doctor --stripe`` as it is typed, with real servers and a Stripe in memory."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis

from billing.fetching.record import ApiResponse
from ops.doctor.stripe import run
from runtime.inbox.signatures import SignatureRecord
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.errors import ApiAway
from runtime.telemetry import secret_fingerprint
from tests.ops.conftest import Paidup
from tests.ops.doctor.stripe.fake_endpoints import URL, FakeEndpoints, endpoint
from tests.ops.ops_env import OpsEnv
from tests.ops.queries.seeded_database import SeededDatabase
from tests.stripe.keys import RIGHTS, ApiKey
from tests.stripe.server import FakeApi, serving

pytestmark = pytest.mark.servers

KEY = "rk_test_our_own_key_for_tests"
SECRET = "whsec_" + "5f3a" * 8
WHY = ("--reason", "a new endpoint", "--as", "ada")


@pytest.fixture
def shop(books: SeededDatabase, redis_url: str, deployed: Callable[..., None]) -> Iterator[OpsEnv]:
    """A deployment that knows its URL and has a restricted key."""
    deployed(
        DATABASE_URL=books.url,
        REDIS_URL=redis_url,
        STRIPE_API_KEY=KEY,
        STRIPE_WEBHOOK_SECRET=SECRET,
        PAIDUP_PUBLIC_URL=URL,
        PAIDUP_LIVEMODE="test",
    )
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        record = SignatureRecord(client)
        record.add(mismatched=0, matched=(secret_fingerprint(SECRET),))
        yield OpsEnv(books, client)


@pytest.fixture
def stripe(shop: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> FakeEndpoints:
    fake = FakeEndpoints()
    monkeypatch.setattr(run, "make_api", lambda *_, **__: fake)
    return fake


def states(document: Any) -> dict[str, str]:
    return {each["check"]: each["state"] for each in document["findings"]}


def test_a_deployment_whose_endpoint_is_right_exits_0(
    stripe: FakeEndpoints, paidup: Paidup
) -> None:
    stripe.endpoints = [endpoint()]

    document = json.loads(paidup("doctor", "--stripe", "--json"))

    assert set(states(document).values()) == {"ok"}
    assert states(document).keys() >= {"endpoint", "event types", "use of secrets"}
    assert states(document).keys() >= {"clock of Stripe", "rights of the key", "read requests"}
    assert stripe.sent == []
    assert KEY not in json.dumps(document)


def test_nothing_asks_stripe_unless_it_is_said(stripe: FakeEndpoints, paidup: Paidup) -> None:
    paidup("doctor", "--json")

    assert stripe.asked == []


def test_an_endpoint_is_created_after_a_preview_and_its_secret_is_only_in_a_file(
    stripe: FakeEndpoints, paidup: Paidup, shop: OpsEnv, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    fix = ("doctor", "--stripe", "--fix", *WHY, "--secret-file", str(secret))
    paidup("doctor", "--stripe", code=1)

    paidup(*fix, code=2)
    assert "--yes makes these changes without asking" in paidup.err
    said = paidup(*fix, "--yes")

    assert f"create an endpoint for {URL}" in said
    assert said.index("would change at Stripe") < said.index("Done: create an endpoint")
    kept = secret.read_text().strip()
    assert kept.startswith("whsec_")
    assert kept not in said
    assert secret.stat().st_mode & 0o777 == 0o600
    assert shop.audited("stripe_endpoint.change_requested") == [
        ("cli:ada", "new", "a new endpoint")
    ]
    assert shop.audited("stripe_endpoint.changed") == [("cli:ada", "we_new0", "a new endpoint")]

    again = json.loads(paidup(*fix, "--yes", "--json"))

    assert again["changes"] == []
    assert len(stripe.sent) == 1


def test_a_wrong_endpoint_is_mended_and_then_found_to_be_right(
    stripe: FakeEndpoints, paidup: Paidup, shop: OpsEnv
) -> None:
    stripe.endpoints = [endpoint(status="disabled", enabled_events=["*"])]

    document = json.loads(paidup("doctor", "--stripe", "--fix", "--yes", *WHY, "--json"))

    assert len(document["changes"]) == 2
    assert set(states(document).values()) == {"ok"}
    assert [target for _, target, _ in shop.audited("stripe_endpoint.changed")] == ["we_1", "we_1"]


def test_what_was_seen_before_a_change_is_not_said_after_it(
    stripe: FakeEndpoints, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripe.endpoints = [endpoint(enabled_events=["*"])]
    send = stripe.send

    def and_then_away(path: str, form: Mapping[str, Any], account: ApiAccount) -> ApiResponse:
        answer = send(path, form, account)
        stripe.failing = ApiAway("500: as asked")
        return answer

    monkeypatch.setattr(stripe, "send", and_then_away)

    said = paidup("doctor", "--stripe", "--fix", "--yes", *WHY, "--json", code=1)

    assert states(json.loads(said)).keys() == {"STRIPE_API_KEY", "use of secrets", "read requests"}


def test_a_change_that_stripe_refuses_is_audited_as_failed_and_leaves_no_file(
    stripe: FakeEndpoints, paidup: Paidup, shop: OpsEnv, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    stripe.refusing = ApiAway("500: as asked")
    paidup(*("doctor", "--stripe", "--fix", "--yes", "--secret-file", str(secret)), *WHY, code=1)

    assert "could not create an endpoint" in paidup.err
    assert "it was created all the same: take its signing secret" in paidup.err
    assert not secret.exists()
    failed = shop.scalars("SELECT outcome FROM audit_logs WHERE action = 'stripe_endpoint.changed'")
    assert failed == ["failed"]


def test_a_new_secret_needs_a_new_file(
    stripe: FakeEndpoints, paidup: Paidup, tmp_path: Path
) -> None:
    paidup("doctor", "--stripe", "--fix", "--yes", *WHY, code=2)
    assert "--secret-file is missing" in paidup.err

    there = tmp_path / "there"
    there.write_text("mine")
    arguments = ("doctor", "--stripe", "--fix", "--yes", "--secret-file", str(there))
    paidup(*arguments, *WHY, code=1)

    assert there.read_text() == "mine"
    assert stripe.sent == []


def test_another_url_can_be_named_for_once(stripe: FakeEndpoints, paidup: Paidup) -> None:
    stripe.endpoints = [endpoint(url="https://new.example.com/hook")]

    paidup("doctor", "--stripe", code=1)
    paidup("doctor", "--stripe", "--url", "https://new.example.com/hook/")


def test_the_key_of_an_organisation_names_an_account(
    stripe: FakeEndpoints, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_org_5f3a")
    monkeypatch.setenv("PAIDUP_CONNECT_ACCOUNTS", "acct_2,acct_1")
    stripe.endpoints = [endpoint(), endpoint("we_2", application="ca_1")]

    paidup("doctor", "--stripe")

    assert stripe.accounts == {"acct_1"}


def test_a_stripe_that_is_away_is_one_problem_among_the_findings(
    stripe: FakeEndpoints, paidup: Paidup
) -> None:
    stripe.failing = ApiAway("500: as asked")

    document = json.loads(paidup("doctor", "--stripe", "--json", code=1))

    assert states(document)["STRIPE_API_KEY"] == "problem"
    assert states(document)["use of secrets"] == "ok"


def test_without_a_key_nothing_is_asked(
    stripe: FakeEndpoints, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRIPE_API_KEY")

    paidup("doctor", "--stripe", code=1)

    assert "STRIPE_API_KEY is not set" in paidup.err
    assert stripe.asked == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--fix", "--reason", "x"),
        ("--url", URL),
        ("--stripe", "--restored"),
        ("--stripe", "--fix", "--yes"),
    ],
)
def test_the_options_go_together(arguments: tuple[str, ...], paidup: Paidup) -> None:
    paidup("doctor", *arguments, code=2)


@pytest.fixture
def served(shop: OpsEnv, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """Stripe's API as a real server, and a key that may read everything and write nothing."""
    rights = frozenset(f"{each}_read" for each in RIGHTS.values())
    with serving(keys=[ApiKey(KEY, rights)]) as api:
        monkeypatch.setenv("STRIPE_API_BASE", api.url)
        monkeypatch.setenv("PAIDUP_STRIPE_REQUESTS_PER_SECOND", "25")
        yield api


def allow(api: FakeApi, right: str) -> None:
    """Give the key one more right."""
    (key,) = api.keys
    api.keys = [ApiKey(KEY, (key.rights or frozenset()) | {right})]


def test_a_real_server_takes_the_requests_and_the_changes(
    served: FakeApi, paidup: Paidup, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    fix = ("doctor", "--stripe", "--fix", "--yes", "--secret-file", str(secret), *WHY)

    paidup(*fix, code=1)
    assert "it lacks the right webhook_write" in paidup.err
    assert not secret.exists()

    allow(served, "webhook_write")
    made = json.loads(paidup(*fix, "--json"))
    again = json.loads(paidup(*fix, "--json"))

    assert (len(made["changes"]), again["changes"]) == (1, [])
    assert set(states(again).values()) == {"ok"}
    assert secret.read_text().startswith("whsec_")


def test_a_right_that_the_key_lacks_is_named_by_stripe_s_own_name(
    served: FakeApi, paidup: Paidup
) -> None:
    (key,) = served.keys
    served.keys = [ApiKey(KEY, (key.rights or frozenset()) - {"credit_note_read"})]

    said = paidup("doctor", "--stripe", code=1)

    assert "Credit notes: Read (credit_note_read), which thin events, backfill, reconcile" in said


def test_an_organisation_s_key_is_taken_by_a_server_that_wants_a_context(
    served: FakeApi, paidup: Paidup, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.keys = [ApiKey("sk_org_test_5f3a")]
    served.account.put({**endpoint(), "created": 1})
    served.account.put({**endpoint("we_2", application="ca_1"), "created": 1})
    monkeypatch.setenv("STRIPE_API_KEY", "sk_org_test_5f3a")
    monkeypatch.setenv("PAIDUP_CONNECT_ACCOUNTS", served.account.id)

    said = paidup("doctor", "--stripe")

    assert f"each request names an account in Stripe-Context: {served.account.id}" in said
    contexts = {each.headers.get("Stripe-Context") for each in served.asked}
    assert contexts == {served.account.id}


def test_a_second_endpoint_of_the_second_api_is_noticed(served: FakeApi, paidup: Paidup) -> None:
    served.account.put({**endpoint(), "created": 1})
    destination = {
        "name": "copy",
        "type": "webhook_endpoint",
        "event_payload": "thin",
        "enabled_events": ["v1.invoice.paid"],
        "webhook_endpoint": {"url": URL},
    }
    path = "/v2/core/event_destinations"
    served.account.write("POST", path, json.dumps(destination), 1.0)

    document = json.loads(paidup("doctor", "--stripe", "--json", code=1))

    assert states(document)["copies"] == "warning"
    assert "once whole and once thin" in json.dumps(document)


def test_events_that_stripe_could_not_deliver_are_counted(served: FakeApi, paidup: Paidup) -> None:
    served.account.put({**endpoint(), "created": 1})
    for number in range(3):
        event = {
            "id": f"evt_{number}",
            "object": "event",
            "type": "invoice.created",
            "created": int(time.time()) - 7200,
        }
        served.account.put(event)
        served.account.undelivered.add(f"evt_{number}")

    document = json.loads(paidup("doctor", "--stripe", "--json", code=1))

    assert states(document)["undelivered events"] == "warning"
    assert states(document)["invoice.created"] == "problem"
    assert "3 events of 30 days (3 invoice.created)" in json.dumps(document)


def test_stripe_s_clock_is_compared_with_this_one(served: FakeApi, paidup: Paidup) -> None:
    served.account.put({**endpoint(), "created": 1})
    served.clock = lambda: time.time() - 60

    document = json.loads(paidup("doctor", "--stripe", "--json", code=1))

    assert states(document)["clock of Stripe"] == "problem"
