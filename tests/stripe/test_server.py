"""The server limits, refuses and fails as Stripe does, and answers in the account that is meant."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest

from ops.samples.worlds.offers import PRO
from ops.samples.worlds.records import Customer, Subscription, SubscriptionItem
from tests.stripe.account import FakeStripeAccount
from tests.stripe.keys import ApiKey
from tests.stripe.limits import RateLimits
from tests.stripe.server import KEY, LIVE_KEY, ApiReply, FakeApi, failing, serving

pytestmark = pytest.mark.servers

NOW = 1_795_302_000
RESTRICTED = "rk_test_only_customers_abcd"
ORGANISATION = "sk_org_test_our_own_key"


def customer(number: int) -> Customer:
    return Customer(id=f"cus_{number}", created=NOW + number)


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    account = FakeStripeAccount()
    for number in range(3):
        account.keep(customer(number))
    with serving(account=account, clock=lambda: NOW + 9.5) as api:
        yield api


@dataclass(frozen=True)
class Got:
    """One answer as the network brought it."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def says(self) -> str:
        return str(self.body["error"]["message"])


def send(
    fake: FakeApi, path: str, *, key: str = KEY, method: str = "GET", body: str = "", **headers: str
) -> Got:
    connection = http.client.HTTPConnection(urlsplit(fake.url).netloc, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(
            method, path, body=body or None, headers={"Authorization": f"Bearer {key}", **named}
        )
        answer = connection.getresponse()
        return Got(answer.status, json.loads(answer.read()), dict(answer.headers))
    finally:
        connection.close()


def test_an_answer_bears_the_date_of_the_servers_clock(fake: FakeApi) -> None:
    got = send(fake, "/v1/customers")

    assert got.status == 200
    assert parsedate_to_datetime(got.headers["Date"]).timestamp() == NOW + 9


def test_a_list_may_grow_with_each_request(fake: FakeApi) -> None:
    numbers = count(10)
    fake.before_each = lambda _: fake.account.keep(customer(next(numbers)))

    first = send(fake, "/v1/customers?limit=1").body["data"][0]["id"]
    newer = send(fake, f"/v1/customers?ending_before={first}").body["data"]

    assert (first, [each["id"] for each in newer]) == ("cus_10", ["cus_11"])


def test_each_request_may_take_its_time_on_the_way(
    fake: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("tests.stripe.server.time.sleep", slept.append)
    fake.latency = 0.15

    send(fake, "/v1/customers")

    assert slept == [0.15]


class TestLimits:
    @pytest.fixture
    def limited(self, fake: FakeApi) -> FakeApi:
        self.now = 100.0
        fake.limits = RateLimits(test_account=5, live_account=8, endpoint=3, clock=lambda: self.now)
        return fake

    def statuses(self, fake: FakeApi, *paths: str) -> list[int]:
        return [send(fake, path).status for path in paths]

    def test_bound_the_requests_of_an_endpoint_in_a_second(self, limited: FakeApi) -> None:
        assert self.statuses(limited, *["/v1/customers"] * 4) == [200, 200, 200, 429]

        refused = send(limited, "/v1/customers?limit=1")

        assert refused.headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
        assert refused.headers["Retry-After"] == "1"
        assert refused.body["error"]["code"] == "rate_limit"
        assert limited.limits is not None
        assert limited.limits.refused == {"endpoint-rate": 2}

    def test_count_one_object_and_its_list_apart(self, limited: FakeApi) -> None:
        assert self.statuses(limited, *["/v1/customers"] * 3, "/v1/customers/cus_1") == [200] * 4

    def test_bound_the_requests_of_an_account(self, limited: FakeApi) -> None:
        paths = [*["/v1/customers"] * 3, *["/v1/charges"] * 2, "/v1/refunds"]

        assert self.statuses(limited, *paths) == [200] * 5 + [429]
        assert send(limited, "/v1/refunds").headers["Stripe-Rate-Limited-Reason"] == "global-rate"

    def test_fill_again_with_time(self, limited: FakeApi) -> None:
        self.statuses(limited, *["/v1/customers"] * 3)

        self.now += 0.4

        assert self.statuses(limited, *["/v1/customers"] * 2) == [200, 429]

    def test_bound_how_many_requests_are_under_way(self, limited: FakeApi) -> None:
        limited.limits = RateLimits(at_once=1)
        statuses: list[int] = []

        def ask_meanwhile(_: object) -> None:
            limited.before_each = lambda _: None
            statuses.append(send(limited, "/v1/customers").status)

        limited.before_each = ask_meanwhile
        send(limited, "/v1/customers")

        assert statuses == [429]


class TestFaults:
    def test_of_one_request_end_with_it(self, fake: FakeApi) -> None:
        fake.next_faults += [failing(503), None, failing(429, "7")]

        got = [send(fake, "/v1/customers") for _ in range(4)]

        assert [each.status for each in got] == [503, 200, 429, 200]
        assert got[2].headers["Retry-After"] == "7"

    def test_may_cut_an_answer(self, fake: FakeApi) -> None:
        fake.next_faults.append(ApiReply(cut=True))

        with pytest.raises(http.client.IncompleteRead):
            send(fake, "/v1/customers")
        assert send(fake, "/v1/customers").status == 200

    def test_may_close_the_connection_without_an_answer(self, fake: FakeApi) -> None:
        fake.next_faults.append(ApiReply(dropped=True))

        with pytest.raises(http.client.RemoteDisconnected):
            send(fake, "/v1/customers")

    def test_are_forgotten_once_it_works(self, fake: FakeApi) -> None:
        fake.next_faults.append(failing(500))
        fake.fails(500)

        fake.works()

        assert send(fake, "/v1/customers").status == 200


class TestKeys:
    def test_that_are_unknown_or_missing_are_refused(self, fake: FakeApi) -> None:
        unknown = send(fake, "/v1/customers", key="sk_test_another_wxyz")

        assert unknown.status == 401
        assert unknown.says == "Invalid API Key provided: sk_test_********wxyz"
        assert send(fake, "/v1/customers", key="").status == 401

    def test_that_are_restricted_read_what_they_may(self, fake: FakeApi) -> None:
        fake.keys.append(ApiKey(RESTRICTED, frozenset({"customer_read", "webhook_write"})))

        refused = send(fake, "/v1/charges?limit=1", key=RESTRICTED)

        assert send(fake, "/v1/customers/cus_1", key=RESTRICTED).status == 200
        assert send(fake, "/v1/webhook_endpoints", key=RESTRICTED).status == 200
        assert refused.status == 403
        assert "endpoint on account 'acct_1Own'. Having the 'rak_charge_read'" in refused.says

    def test_of_one_mode_do_not_reach_objects_of_the_other(self, fake: FakeApi) -> None:
        live = FakeStripeAccount(livemode=True)
        live.keep(customer(8))
        fake.others.append(live)

        lost = send(fake, "/v1/customers/cus_8")

        found = send(fake, "/v1/customers/cus_8", key=LIVE_KEY)
        assert (found.status, found.body["livemode"]) == (200, True)
        assert (lost.status, lost.body["error"]["code"]) == (404, "resource_missing")
        assert "a similar object exists in live mode, but a test mode key was" in lost.says
        assert "similar" not in send(fake, "/v1/customers/cus_9").says

    @pytest.mark.parametrize("header", ["Stripe_Account", "Stripe_Context"])
    def test_reach_connected_accounts_by_a_header(self, fake: FakeApi, header: str) -> None:
        connected = FakeStripeAccount(id="acct_1Other")
        connected.keep(customer(5))
        fake.others.append(connected)

        assert send(fake, "/v1/customers/cus_5", **{header: "acct_1Other"}).status == 200
        assert send(fake, "/v1/customers/cus_1", **{header: "acct_1Other"}).status == 404
        refused = send(fake, "/v1/customers", **{header: "acct_1Third"})
        assert (refused.status, refused.body["error"]["code"]) == (403, "account_invalid")

    def test_of_an_organisation_name_an_account_and_a_version(self, fake: FakeApi) -> None:
        fake.keys.append(ApiKey(ORGANISATION))
        both = {"Stripe_Context": "acct_1Own", "Stripe_Version": "2026-10-28.endive"}

        assert send(fake, "/v1/customers", key=ORGANISATION, **both).status == 200
        for missing in both:
            given = {name: value for name, value in both.items() if name != missing}
            refused = send(fake, "/v1/customers", key=ORGANISATION, **given)
            assert (refused.status, missing.replace("_", "-") in refused.says) == (400, True)


def test_objects_have_the_shape_of_the_requests_version(fake: FakeApi) -> None:
    item = SubscriptionItem(id="si_1", offer=PRO, quantity=1, start=NOW, end=NOW + 5)
    held = Subscription(id="sub_1", customer="cus_1", created=NOW, status="active", items=(item,))
    fake.account.keep(held)

    old = send(fake, "/v1/subscriptions/sub_1", Stripe_Version="2024-06-20").body
    new = send(fake, "/v1/subscriptions/sub_1", Stripe_Version="2026-10-28.endive").body

    assert old["current_period_end"] == new["items"]["data"][0]["current_period_end"]
    assert "current_period_end" not in new


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/events"), ("PUT", "/v1/customers"), ("GET", "/v1/unknown/things")],
)
def test_a_wrong_method_or_url_is_unrecognized(fake: FakeApi, method: str, path: str) -> None:
    got = send(fake, path, method=method)

    assert got.status == 404
    assert got.says.startswith(f"Unrecognized request URL ({method}: {path})")


def test_the_account_tells_its_own_id(fake: FakeApi) -> None:
    assert send(fake, "/v1/account").body["id"] == "acct_1Own"


class TestWebhookEndpoints:
    path = "/v1/webhook_endpoints"
    form = "url=https%3A%2F%2Fa.example%2F&enabled_events[]=charge.failed&api_version=2024-06-20"

    def test_are_made_listed_changed_and_removed(self, fake: FakeApi) -> None:
        made = send(fake, self.path, method="POST", body=self.form).body
        one = f"{self.path}/{made['id']}"
        change = "enabled_events[]=a.b&enabled_events[]=c.d&disabled=true&metadata[by]=us"

        changed = send(fake, one, method="POST", body=change).body

        assert made["secret"].startswith("whsec_")
        assert (made["status"], made["api_version"]) == ("enabled", "2024-06-20")
        assert (changed["enabled_events"], changed["status"]) == (["a.b", "c.d"], "disabled")
        assert changed["metadata"] == {"by": "us"}
        assert send(fake, self.path).body["data"] == [changed]
        assert send(fake, one, method="POST", body="disabled=false").body["status"] == "enabled"
        assert send(fake, one, method="DELETE").body["deleted"] is True
        assert send(fake, one).status == 404
        assert send(fake, self.path).body["data"] == []

    @pytest.mark.parametrize(
        ("form", "param"),
        [
            ("enabled_events[]=*", "url"),
            ("url=https://a.example", "enabled_events"),
            ("url=a.example&enabled_events[]=*", "url"),
            ("url=https://a.example&enabled_events[]=*&secret=x", "secret"),
        ],
    )
    def test_that_are_stated_wrongly_are_refused(
        self, fake: FakeApi, form: str, param: str
    ) -> None:
        got = send(fake, self.path, method="POST", body=form)

        assert (got.status, got.body["error"]["param"]) == (400, param)

    def test_keep_their_api_version(self, fake: FakeApi) -> None:
        made = send(fake, self.path, method="POST", body=self.form).body

        got = send(fake, f"{self.path}/{made['id']}", method="POST", body="api_version=x")

        assert (got.status, got.body["error"]["code"]) == (400, "parameter_unknown")
