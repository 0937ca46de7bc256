"""Each request to Stripe's API ends in bounded time with an answer or a classified failure."""

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from billing.envelope import Envelope, parse
from ops.samples.api_shapes import Shape
from ops.samples.worlds.records import Customer
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.client import API_VERSION, StripeApi, make_api
from runtime.stripe_api.errors import (
    ApiAway,
    ApiFailure,
    ApiForbidden,
    ApiLimited,
    ApiRefused,
)
from tests.billing.event_builders import encoded, event, printed
from tests.stripe.account import FakeStripeAccount
from tests.stripe.server import KEY, FakeApi, serving
from tests.stripe.state import moment

pytestmark = pytest.mark.servers

CUSTOMER = printed(Customer(id="cus_1", created=1_795_302_000))
EVENT = event("customer.updated", CUSTOMER)
OWN = ApiAccount(livemode=False)

LACKS = (
    "The provided key 'rk_live_*****zf7d' does not have the required permissions for this endpoint"
)
ONE_RIGHT = (
    f"{LACKS} on account 'acct_1'. Having the 'rak_customer_read' permission would allow it."
)
TWO_RIGHTS = (
    f"{LACKS}. Having the 'rak_payment_intent_read', 'rak_checkout_session_read' permissions would"
    " allow this request to continue."
)
NAMED_RIGHT = f"{LACKS}. Enabling \"Prices Read\" ('plan_read') permissions on this key would do."
NO_RIGHT = f"{LACKS}. Having more permissions would allow this request to continue."
PATH = "/v1/customers/cus_1"


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    account = FakeStripeAccount()
    account.put(CUSTOMER)
    with serving(account=account) as api:
        yield api


def api_at(fake: FakeApi, key: str = KEY, **timing: float) -> StripeApi:
    environ = {"STRIPE_API_KEY": key, "STRIPE_API_BASE": fake.url, "STRIPE_WEBHOOK_SECRET": ""}
    return make_api(Settings.from_env(environ), None, **timing)


def test_an_answer_is_dated_by_the_second_before_it_was_asked_for(
    fake: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Take the time that the request took off Stripe's date, which is a whole second."""
    fake.clock = lambda: 1_795_302_514.9
    clock = iter([100.0, 103.2])
    stopwatch = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr("runtime.stripe_api.client.time", stopwatch)

    answer = api_at(fake).ask(PATH, OWN)

    assert (answer.status, answer.body, answer.request) == (200, CUSTOMER, PATH)
    assert answer.at == moment(1_795_302_510)


def test_an_answer_keeps_its_body_to_the_byte_and_its_version(fake: FakeApi) -> None:
    fake.body = b'{"id": "cus_1",\t"name": "\\u00e9\xc3\xa9"}\n'
    fake.headers = {"Stripe-Version": "2099-01-01.next"}

    answer = api_at(fake).ask(PATH, OWN)

    assert answer.text.encode() == fake.body
    assert answer.api_version == "2099-01-01.next"
    fake.headers = {}
    assert api_at(fake).ask(PATH, OWN).api_version == API_VERSION


def test_the_version_is_pinned_to_the_newest_that_the_readers_are_tested_with(
    fake: FakeApi,
) -> None:
    api_at(fake).ask(PATH, OWN)

    (asked,) = fake.asked
    assert asked.headers["Stripe-Version"] == API_VERSION == Shape.NEW.api_version
    assert "Idempotency-Key" not in asked.headers
    assert "X-Stripe-Client-Telemetry" not in asked.headers


def thin(**given: Any) -> Envelope:
    payload = {"id": "evt_1", "object": "v2.core.event", "type": "v1.customer.updated"}
    return parse(encoded(payload | {"created": "2026-11-21T09:30:00Z"} | given))


@pytest.mark.parametrize(
    ("envelope", "header", "value"),
    [
        (thin(context="acct_1"), "Stripe-Context", "acct_1"),
        (thin(context="org_1/acct_2"), "Stripe-Context", "org_1/acct_2"),
        (
            event("customer.updated", CUSTOMER, account="acct_3"),
            "Stripe-Account",
            "acct_3",
        ),
        (
            event("customer.updated", CUSTOMER, account="acct_3", context="acct_2/acct_3"),
            "Stripe-Context",
            "acct_2/acct_3",
        ),
        (
            event("customer.updated", CUSTOMER, account="acct_3", context="acct_2/acct_3"),
            "Stripe-Account",
            None,
        ),
        (thin(context=None), "Stripe-Context", None),
        (EVENT, "Stripe-Account", None),
    ],
)
def test_an_object_of_another_account_is_asked_for_in_its_name(
    fake: FakeApi, envelope: Envelope, header: str, value: str | None
) -> None:
    api_at(fake).ask(PATH, ApiAccount.of_event(envelope))

    assert fake.asked[0].headers.get(header) == value


def test_a_change_at_stripe_is_sent_once_with_its_form(fake: FakeApi) -> None:
    fake.body = b'{"id": "we_1"}'

    answer = api_at(fake).send(
        "/v1/webhook_endpoints/we_1", {"enabled_events": ["a", "b"], "disabled": False}, OWN
    )

    assert answer.body == {"id": "we_1"}
    (asked,) = fake.asked
    assert (asked.method, asked.path) == ("POST", "/v1/webhook_endpoints/we_1")
    assert asked.body == "enabled_events[0]=a&enabled_events[1]=b&disabled=false"
    assert asked.headers["Stripe-Version"] == API_VERSION


@pytest.mark.parametrize(
    ("key", "header"), [(KEY, "Stripe-Account"), ("sk_org_live_1", "Stripe-Context")]
)
def test_a_key_of_an_organisation_names_the_account_as_a_context(
    fake: FakeApi, key: str, header: str
) -> None:
    """Stripe refuses a key of an organisation without a context and a version."""
    fake.body = b"{}"

    api_at(fake, key).ask(PATH, ApiAccount(livemode=True, account="acct_1"))

    (asked,) = fake.asked
    named = {name: asked.headers.get(name) for name in ("Stripe-Account", "Stripe-Context")}
    assert named == {"Stripe-Account": None, "Stripe-Context": None} | {header: "acct_1"}
    assert asked.headers["Stripe-Version"] == API_VERSION


@pytest.mark.parametrize(
    ("key", "livemode", "is_live"),
    [
        ("sk_live_1", "any", True),
        ("rk_test_1", "any", False),
        ("sk_org_1", "live", True),
        ("sk_org_1", "test", False),
    ],
)
def test_the_mode_of_our_own_account_is_that_of_the_key(
    key: str, livemode: str, *, is_live: bool
) -> None:
    settings = Settings.from_env({"STRIPE_API_KEY": key, "PAIDUP_LIVEMODE": livemode})

    assert ApiAccount.own(settings) == ApiAccount(livemode=is_live)


def test_a_missing_object_is_an_answer(fake: FakeApi) -> None:
    answer = api_at(fake).ask("/v1/customers/cus_2", OWN)

    assert answer.status == 404


def test_queries_go_over_the_wire_as_they_are(fake: FakeApi) -> None:
    path = "/v1/entitlements/active_entitlements?customer=cus_1&limit=100&starting_after=ent_%2F"
    fake.account.features["cus_1"] = []
    fake.status = 500

    with pytest.raises(ApiAway):
        api_at(fake).ask(path, OWN)

    assert fake.paths() == [path]


class TestAFailedRequest:
    @pytest.mark.parametrize(
        ("status", "error", "kind"),
        [
            (500, {}, ApiAway),
            (503, {}, ApiAway),
            (409, {}, ApiAway),
            (401, {"message": "Invalid API Key"}, ApiForbidden),
            (403, {"message": "no permission"}, ApiForbidden),
            (400, {"message": "no such parameter"}, ApiRefused),
            (404, {"message": "Unrecognized request URL"}, ApiRefused),
            (404, {"message": "a similar object exists in test mode, but"}, ApiForbidden),
            (402, {}, ApiRefused),
            (429, {}, ApiLimited),
        ],
    )
    def test_is_classified_by_what_to_do(
        self, fake: FakeApi, status: int, error: dict[str, str], kind: type[ApiFailure]
    ) -> None:
        fake.fails(status, **error)

        with pytest.raises(kind):
            api_at(fake).ask(PATH, OWN)

        assert len(fake.asked) == 1  # nothing is repeated behind our back

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("7", 7.0),
            (None, 10.0),
            ("Mon, 30 Nov 2026 09:00:00 GMT", 10.0),
            ("nan", 10.0),
            ("-3", 1.0),
            ("0", 1.0),
            ("86400", 300.0),
            ("1e300", 300.0),
            ("inf", 300.0),
        ],
    )
    def test_by_a_rate_limit_says_how_long_to_pause_within_bounds(
        self, fake: FakeApi, header: str | None, seconds: float
    ) -> None:
        fake.fails(429, header)

        with pytest.raises(ApiLimited) as caught:
            api_at(fake).ask(PATH, OWN)

        assert caught.value.seconds == seconds

    def test_by_a_rate_limit_names_the_limit(self, fake: FakeApi) -> None:
        fake.fails(429, "7")
        fake.headers["Stripe-Rate-Limited-Reason"] = "endpoint-rate"

        with pytest.raises(ApiLimited, match="endpoint-rate") as caught:
            api_at(fake).ask(PATH, OWN)

        assert caught.value.limit == "endpoint-rate"

    @pytest.mark.parametrize(
        ("message", "rights"),
        [
            (ONE_RIGHT, ("customer_read",)),
            (TWO_RIGHTS, ("payment_intent_read", "checkout_session_read")),
            (NAMED_RIGHT, ("plan_read",)),
            (NO_RIGHT, ()),
        ],
    )
    def test_names_the_rights_that_a_restricted_key_lacks(
        self, fake: FakeApi, message: str, rights: tuple[str, ...]
    ) -> None:
        """Stripe has written it in each of these ways."""
        fake.fails(403, type="invalid_request_error", message=message)

        with pytest.raises(ApiForbidden) as caught:
            api_at(fake).ask(PATH, OWN)

        assert caught.value.rights == rights
        assert all(right in str(caught.value) for right in rights)
        assert "zf7d" not in str(caught.value)

    @pytest.mark.parametrize(
        "body", [b"<html>", b"[]", b"", b'{"a": NaN}', b'{"a":' * 300 + b"1" + b"}" * 300]
    )
    def test_may_be_an_unreadable_answer(self, fake: FakeApi, body: bytes) -> None:
        fake.body = body

        with pytest.raises(ApiAway):
            api_at(fake).ask(PATH, OWN)

    @pytest.mark.parametrize("date", [None, "yesterday"])
    def test_may_be_an_answer_without_a_time(self, fake: FakeApi, date: str | None) -> None:
        fake.headers = {"Date": date}

        with pytest.raises(ApiAway):
            api_at(fake).ask(PATH, OWN)

    def test_never_shows_the_key(self, fake: FakeApi) -> None:
        with pytest.raises(ApiForbidden) as caught:
            api_at(fake, "sk_test_wrong").ask(PATH, OWN)

        assert "sk_test_wrong" not in str(caught.value)

    def test_to_connect_comes_at_once(self) -> None:
        with pytest.raises(ApiAway):
            api_at(FakeApi(url="http://127.0.0.1:1")).ask(PATH, OWN)


class TestTime:
    """Limits are shorter than production's 10 and 20 s, which a test would only wait for."""

    def test_silence_ends_a_request(self, fake: FakeApi) -> None:
        fake.hangs()
        begun = time.monotonic()

        with pytest.raises(ApiAway):
            api_at(fake, silence_seconds=0.3).ask(PATH, OWN)

        assert time.monotonic() - begun < 3

    def test_an_answer_that_comes_byte_by_byte_ends_too(self, fake: FakeApi) -> None:
        """Send each byte in time, and never finish the whole."""
        fake.hangs()
        fake.drips = True
        api = api_at(fake, silence_seconds=5.0, whole_seconds=0.5)
        begun = time.monotonic()

        with pytest.raises(ApiAway):
            api.ask(PATH, OWN)

        assert time.monotonic() - begun < 3
        fake.works()
        assert api.ask(PATH, OWN).status == 200

    def test_a_client_that_is_closed_leaves_no_thread(self, fake: FakeApi) -> None:
        before = set(threading.enumerate())
        api = api_at(fake)
        api.ask(PATH, OWN)
        (thread,) = {
            each for each in set(threading.enumerate()) - before if each.name == "stripe-api"
        }

        api.close()

        thread.join(30)
        assert not thread.is_alive()

    def test_connections_are_kept(self, fake: FakeApi) -> None:
        api = api_at(fake)

        took = []
        for _ in range(20):
            begun = time.monotonic()
            api.ask(PATH, OWN)
            took.append(time.monotonic() - begun)

        assert min(took) < 0.05
