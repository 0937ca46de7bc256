"""``paidup explain --event``: preview an event and change nothing."""

import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import text

from billing.envelope import parse
from billing.ids import EventId
from models.tables import metadata
from runtime.failures.dead_letters import DeadLetterDraft, dead_letter
from tests.ops.conftest import Paidup
from tests.ops.ops_env import OpsEnv
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.delivery_builders import NOW, checkout, customer, event, rows

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def _deployed(books: SeededDatabase, deployed: Callable[..., None]) -> None:
    deployed(DATABASE_URL=books.url)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], str]:
    """Write a body where ``--event`` finds it."""

    def write(body: bytes) -> str:
        path = tmp_path / "event.json"
        path.write_bytes(body)
        return str(path)

    return write


def preview(paidup: Paidup, named: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(paidup("explain", "--event", named, "--json"))
    return document


def everything(books: SeededDatabase, client: redis.Redis) -> tuple[Any, Any]:
    """Return every row of every table, and every key of Redis."""
    tables = {
        name: sorted(
            json.dumps(row, sort_keys=True)
            for row in rows(books.engine, f"SELECT to_jsonb({name}) FROM {name}")  # noqa: S608
        )
        for name in metadata.tables
    }
    return tables, {key: client.dump(key) for key in sorted(client.keys())}


def test_an_event_that_was_never_sent_tells_access_and_money_before_and_after(
    books: SeededDatabase, paidup: Paidup, file: Callable[[bytes], str]
) -> None:
    lifecycle = books.compose("onetime")
    *_, last = (each for each in lifecycle.events if each.type == "checkout.session.completed")
    named = file(last.body)

    found = preview(paidup, named)

    assert (found["would_be"], found["because"], found["from"]) == ("applied", None, named)
    assert found["event"]["id"] == last.id
    (user,) = found["users"]
    assert user == {"user_id": "usr_1", "before": {}, "after": {"lifetime": True}}
    (grant,) = found["entitlements"]
    assert (grant["before"], grant["after"]["event_id"]) == (None, last.id)
    (paid,) = found["payments"]
    assert (paid["before"], paid["after"]["amount_minor"]) == (None, 9900)
    assert {each["action"] for each in found["also"]} >= {"purchase.paid"}
    assert (found["catalogue_version"], found["waiting"], found["unknown_prices"]) == (1, [], [])
    assert found["facts"][0]["kind"] == "checkout_session"
    said = paidup("explain", "--event", named)
    assert "outcome: applied\n" in said
    assert "usr_1  nothing  lifetime" in said
    assert "99.00 USD succeeded" in said
    assert "also purchase.paid" in said
    assert f"{last.id} would do this now, by version 1 of the plans." in said


def test_what_is_taken_away_is_shown_for_the_user_who_has_it(
    books: SeededDatabase, paidup: Paidup, file: Callable[[bytes], str]
) -> None:
    books.tell("upgrade", seed="other")
    events = list(books.compose("refund_full").events)
    refunded = next(n for n, each in enumerate(events) if "refund" in each.type)
    books.record(events[:refunded])

    (user,) = preview(paidup, file(events[refunded].body))["users"]

    assert (user["before"]["lifetime"], user["before"]["max_devices"]) == (True, 3)
    assert user["after"] == {"max_devices": 3}


def test_what_is_older_than_what_is_known_would_be_superseded(
    books: SeededDatabase, paidup: Paidup, file: Callable[[bytes], str]
) -> None:
    events = books.compose("upgrade").events
    snapshots = [each for each in events if each.type == "customer.subscription.updated"]
    books.record(each for each in events if each is not snapshots[0])

    said = paidup("explain", "--event", file(snapshots[0].body))

    assert "outcome: superseded: superseded by evt_" in said
    assert "no entitlement and no payment would change" in said


@pytest.mark.parametrize(
    ("given", "settings", "why"),
    [
        ({}, {"PAIDUP_LIVEMODE": "live"}, "wrong_mode"),
        ({"account": "acct_1"}, {}, "unknown_account"),
        ({"type": "unheard.of"}, {}, "unknown_type"),
    ],
)
def test_what_does_not_count_here_would_be_ignored(  # noqa: PLR0917 - fixtures
    books: SeededDatabase,
    paidup: Paidup,
    file: Callable[[bytes], str],
    deployed: Callable[..., None],
    given: dict[str, Any],
    settings: dict[str, str],
    why: str,
) -> None:
    deployed(DATABASE_URL=books.url, **settings)
    kind = given.pop("type", "customer.updated")

    found = preview(paidup, file(event(kind, customer("cus_1", "usr_1"), **given)))

    assert (found["would_be"], found["because"], found["users"]) == ("ignored", why, [])
    assert f"outcome: ignored: {why}" in paidup(
        "explain", "--event", file(event(kind, customer("cus_1", "usr_1"), **given))
    )


def test_a_settled_event_is_shown_as_a_replay_would_read_it_and_its_file_as_a_duplicate(
    books: SeededDatabase, paidup: Paidup, file: Callable[[bytes], str]
) -> None:
    newest = books.tell("renewal").events[-1]

    again = preview(paidup, newest.id)
    sent = preview(paidup, file(newest.body))

    assert (again["would_be"], again["from"]) == ("already applied", "settled here")
    assert sent["would_be"] == "a duplicate"
    assert sent["because"].startswith(f"{newest.id} is already settled here: ")


def test_events_in_the_inbox_and_dead_letters_are_found_by_their_ids(
    floor: OpsEnv, paidup: Paidup
) -> None:
    waiting, failed = (
        parse(event("customer.updated", customer(f"cus_{number}", "usr_1"))) for number in (1, 2)
    )
    floor.inbox.accept(waiting)
    dead_letter(
        floor.engine,
        [
            DeadLetterDraft(
                key=failed.event_id,
                event_type=failed.type,
                body=failed.body,
                error_type="UnreadableEvent",
                error="it was",
                attempts=1,
                origin="stripe",
                received_at=datetime.now(UTC),
                first_failed_at=datetime.now(UTC),
                failed_at=datetime.now(UTC),
            )
        ],
    )

    pending, dead = preview(paidup, waiting.event_id), preview(paidup, failed.event_id)

    assert (pending["would_be"], pending["from"]) == ("applied", "in the inbox")
    assert pending["also"][0]["action"] == "customer.linked"
    assert (dead["would_be"], dead["from"]) == (
        "applied",
        "a dead letter here (open, UnreadableEvent)",
    )


def test_what_could_never_be_applied_would_be_a_dead_letter(
    books: SeededDatabase, paidup: Paidup, file: Callable[[bytes], str]
) -> None:
    known = event("customer.updated", customer("cus_1", "usr_1"), id="evt_x")
    books.settle([parse(known)])
    other = event("customer.updated", customer("cus_2", "usr_1"), id="evt_x")

    taken = preview(paidup, file(other))
    assert taken["would_be"] == "a dead letter"
    assert taken["because"].startswith("identity_conflict: ")
    said = paidup("explain", "--event", file(event("customer.updated", {"id": 7})))
    assert "outcome: a dead letter: UnreadableEvent" in said
    assert "nothing (" in said


def test_what_would_still_lack_something_is_shown(
    books: SeededDatabase, paidup: Paidup, file: Callable[[bytes], str]
) -> None:
    unsold = checkout("cs_1", metadata={"price_id": "price_new"})
    found = preview(paidup, file(event("checkout.session.completed", unsold)))
    assert found["unknown_prices"] == ["price_new"]

    nobodys = checkout("cs_2", client_reference_id=None)
    said = paidup("explain", "--event", file(event("checkout.session.completed", nobodys)))
    assert "incomplete" in said
    assert "would name no user: set metadata.user_id" in said

    begun = checkout("cs_3", mode="subscription", payment_intent=None, subscription="sub_1")
    said = paidup("explain", "--event", file(event("checkout.session.completed", begun)))
    assert "Only a checkout would vouch for sub_1 until Stripe sends a snapshot of it." in said

    cut = {
        "object": "entitlements.active_entitlement_summary",
        "customer": "cus_1",
        "entitlements": {"data": [{"lookup_key": "a"}], "has_more": True},
    }
    kind = "entitlements.active_entitlement_summary.updated"
    said = paidup("explain", "--event", file(event(kind, cut)))
    assert "Stripe cut off the list of features of customer cus_1: set STRIPE_API_KEY." in said

    for user in ("usr_1", "usr_2"):
        twice = event("customer.updated", customer("cus_9", user), at=NOW)
        said = paidup("explain", "--event", file(twice))
        books.settle([parse(twice)])
    assert "The order of two changes of test:cus_9 in one second would be a guess." in said


def test_a_body_may_come_through_a_pipe(paidup: Paidup, monkeypatch: pytest.MonkeyPatch) -> None:
    body = event("customer.updated", customer("cus_1", "usr_1"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))

    assert "from: standard input" in paidup("explain", "--event", "-")


def test_no_row_of_any_table_and_no_key_in_redis_changes(
    floor: OpsEnv, paidup: Paidup, file: Callable[[bytes], str]
) -> None:
    """Return new, settled, older, pending, conflicting and invalid events."""
    books = floor.books
    settled = books.tell("refund_full").events
    events = books.compose("first_paid", seed="n").events
    floor.inbox.accept(parse(events[0].body))
    before = everything(books, floor.client)

    for each in (*settled, *events):
        paidup("explain", "--event", each.id if each in settled else file(each.body))
    paidup("explain", "--event", events[0].id)
    paidup("explain", "--event", file(event("x.y", {}, id=EventId(settled[0].id))))

    assert everything(books, floor.client) == before
    with books.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stripe_events")) == len(settled)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "event.json: "),
        (b"{", "event.json: "),
        (b"\xff", "event.json: "),
        (b"[1]", "event.json: "),
        (b'{"object": "event"}', "event.json: "),
        (b" " * 1_048_577, "has 1048577 bytes, and ingest accepts at most 1048576"),
    ],
)
def test_what_is_no_event_is_one_sentence(
    paidup: Paidup, file: Callable[[bytes], str], body: bytes, said: str
) -> None:
    paidup("explain", "--event", file(body), code=1)

    assert said in paidup.err
    assert paidup.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--event", "evt_nobody"], 1, "and there is no file of that name"),
        (["--event", "no\0file"], 1, "and there is no file of that name"),
        (["--event", "/"], 1, "name a file with one event as JSON"),
        (["--event", "x" * 5000], 1, "and there is no file of that name"),
        (["usr_1", "--event", "evt_1"], 2, "or give --event alone"),
        (["--event", "evt_1", "--at", "2h"], 2, "or give --event alone"),
        ([], 2, "name a user"),
    ],
)
def test_bad_input_gets_one_sentence(
    arguments: list[str], code: int, said: str, paidup: Paidup
) -> None:
    paidup("explain", *arguments, code=code)

    assert said in paidup.err
