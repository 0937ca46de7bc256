"""All processes together keep to one rate for each account, and what is waited for goes first.

Most rates are far below real ones, so that no pause of the machine decides a test.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import redis

from billing.fetching.record import read_response
from runtime.inbox.api_requests import ApiRequests
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.budget import Caller, RequestBudget, endpoint_of, rate_by_default
from runtime.stripe_api.errors import ApiAway, ApiLimited, BudgetAway, RateReached

pytestmark = pytest.mark.servers

OWN = ApiAccount(livemode=False)
OTHER = ApiAccount(livemode=False, account="acct_2")
LIVE = ApiAccount(livemode=True)
EVENTS = "/v1/events?limit=100"
ANSWER = read_response(EVENTS, 200, datetime(2026, 11, 1, tzinfo=UTC), "{}")
SLOW = 0.1
GAP = 1000 / SLOW


class WouldWait(Exception):
    """Raised instead of a pause, with its seconds."""


def refuse(seconds: float) -> None:
    raise WouldWait(seconds)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url, protocol=2)
    yield client
    client.close()


def settings(rate: float | None = SLOW) -> Settings:
    given = {"PAIDUP_STRIPE_REQUESTS_PER_SECOND": str(rate)} if rate else {}
    return Settings.from_env(given)


def budget(
    client: redis.Redis | None,
    caller: Caller,
    *,
    rate: float | None = SLOW,
    own: float | None = None,
) -> RequestBudget:
    return RequestBudget(client, settings(rate), caller=caller, rate=own, pause=refuse)


def booked(client: redis.Redis, field: str = "next", account: str = "test") -> float:
    """Return the next free time, in milliseconds of Unix time."""
    return float(client.hget(f"paidup:stripe:budget:{account}", field) or 0)


def note(client: redis.Redis, **fields: float) -> None:
    for name, value in fields.items():
        client.hset("paidup:stripe:budget:test", name, str(value))


def redis_ms(client: redis.Redis) -> float:
    seconds, microseconds = client.time()
    return float(seconds) * 1000 + float(microseconds) / 1000


def test_all_processes_together_keep_one_distance(client: redis.Redis) -> None:
    budget(client, "fetch").take(OWN, EVENTS)
    first = booked(client)

    budget(client, "doctor").take(OWN, "/v1/account")

    assert booked(client) - first == pytest.approx(GAP, abs=0.01)


def test_a_backfill_books_one_turn_ahead_and_then_waits(client: redis.Redis) -> None:
    backfill = budget(client, "backfill")
    backfill.take(OWN, EVENTS)

    with pytest.raises(WouldWait) as second:
        backfill.take(OWN, EVENTS)
    taken = booked(client)
    with pytest.raises(WouldWait):
        backfill.take(OWN, EVENTS)

    assert second.value.args[0] == pytest.approx(1 / SLOW, abs=2)
    assert booked(client) == taken


def test_an_event_goes_before_what_a_backfill_booked(client: redis.Redis) -> None:
    backfill = budget(client, "backfill")
    backfill.take(OWN, EVENTS)
    with pytest.raises(WouldWait):
        backfill.take(OWN, EVENTS)

    budget(client, "fetch").take(OWN, "/v1/customers/cus_1")


def test_events_that_need_more_than_the_rate_wait_as_the_lane_does(client: redis.Redis) -> None:
    fetch = budget(client, "fetch")
    for _ in range(3):
        fetch.take(OWN, EVENTS)

    taken = booked(client)
    with pytest.raises(RateReached) as caught:
        fetch.take(OWN, EVENTS)

    assert booked(client) == taken
    assert 5 < caught.value.seconds <= 1 / SLOW
    assert "PAIDUP_STRIPE_REQUESTS_PER_SECOND" in str(caught.value)


def test_accounts_have_budgets_of_their_own(client: redis.Redis) -> None:
    backfill = budget(client, "backfill")
    for account in (OWN, OTHER, LIVE):
        backfill.take(account, EVENTS)


def test_one_endpoint_gets_no_more_than_stripe_allows_it(client: redis.Redis) -> None:
    begun = redis_ms(client)
    backfill = RequestBudget(
        client, settings(100), caller="backfill", rate=100, pause=lambda _: None
    )
    for _ in range(5):
        backfill.take(LIVE, EVENTS)

    assert booked(client, "at:/v1/events", "live") - begun >= 5 * 40


class TestAfterA429:
    def limited(self, client: redis.Redis, seconds: float = 30.0) -> None:
        budget(client, "backfill").note(OWN, ApiLimited(seconds, "global-rate"))

    @pytest.mark.parametrize("caller", ["fetch", "plans", "doctor", "backfill", "reconcile"])
    def test_nothing_of_ours_asks_in_that_account(
        self, client: redis.Redis, caller: Caller
    ) -> None:
        self.limited(client)

        with pytest.raises(ApiLimited) as caught:
            budget(client, caller).take(OWN, EVENTS)

        assert 20 < caught.value.seconds <= 30
        assert (caught.value.limit, caught.value.sent) == ("global-rate", False)
        budget(client, caller).take(OTHER, EVENTS)

    def test_a_turn_that_was_booked_before_is_lost(self, client: redis.Redis) -> None:
        pauses: list[float] = []

        def meanwhile(seconds: float) -> None:
            pauses.append(seconds)
            self.limited(client)

        backfill = RequestBudget(client, settings(), caller="backfill", pause=meanwhile)
        backfill.take(OWN, EVENTS)

        with pytest.raises(ApiLimited):
            backfill.take(OWN, EVENTS)

        assert len(pauses) == 1

    def test_a_shorter_pause_does_not_end_a_longer_one(self, client: redis.Redis) -> None:
        self.limited(client, 60)
        self.limited(client, 1)

        pause = ApiRequests(client).pause("test")

        assert pause is not None
        assert pause.seconds > 30

    def test_no_pause_is_longer_than_five_minutes(self, client: redis.Redis) -> None:
        self.limited(client, 86_400)

        pause = ApiRequests(client).pause("test")

        assert pause is not None
        assert pause.seconds <= 300

    @pytest.mark.parametrize(("quiet_minutes", "gaps"), [(0, 2), (1, 1)])
    def test_the_rate_is_halved_for_a_minute(
        self, client: redis.Redis, quiet_minutes: int, gaps: int
    ) -> None:
        self.limited(client)
        self.limited(client)  # one that was under way together with the first
        at = redis_ms(client)
        note(client, paused_until=at - 1, limited_at=at - quiet_minutes * 60_000)

        budget(client, "doctor").take(OWN, EVENTS)

        assert booked(client) - at == pytest.approx(gaps * GAP, abs=GAP / 2)

    def test_the_rate_falls_to_an_eighth_at_most(self, client: redis.Redis) -> None:
        for _ in range(5):
            self.limited(client)
            note(client, paused_until=0)
        at = redis_ms(client)

        budget(client, "doctor").take(OWN, EVENTS)

        assert booked(client) - at == pytest.approx(8 * GAP, abs=GAP / 2)


class TestARunsOwnRate:
    def test_above_the_default_is_that_of_all_while_the_run_goes_on(
        self, client: redis.Redis
    ) -> None:
        budget(client, "backfill", own=0.2).take(OWN, EVENTS)
        at = booked(client)

        budget(client, "doctor").take(OWN, EVENTS)
        raised = booked(client)
        note(client, raised_until=0)
        budget(client, "doctor").take(OWN, EVENTS)

        assert raised - at == pytest.approx(GAP / 2, abs=0.01)
        assert booked(client) - raised == pytest.approx(GAP, abs=0.01)

    def test_below_the_default_slows_the_run_alone(self, client: redis.Redis) -> None:
        at = redis_ms(client)
        budget(client, "backfill", own=0.05).take(OWN, EVENTS)

        assert booked(client, "bulk:backfill") - at == pytest.approx(2 * GAP, abs=GAP / 2)
        assert booked(client) - at == pytest.approx(GAP, abs=GAP / 2)

    def test_below_the_default_slows_no_other_run(self, client: redis.Redis) -> None:
        budget(client, "backfill", own=SLOW / 100).take(OWN, EVENTS)

        with pytest.raises(WouldWait) as waits:
            budget(client, "reconcile").take(OWN, EVENTS)

        assert waits.value.args[0] <= 1 / SLOW
        assert booked(client, "bulk:reconcile") < booked(client, "bulk:backfill")

    def test_is_never_above_stripes_limit(self, client: redis.Redis) -> None:
        budget(client, "backfill", own=1_000).take(OWN, EVENTS)

        assert booked(client, "raised") == 25


class TestWithoutRedis:
    client = make_redis(Settings.from_env({"REDIS_URL": "redis://127.0.0.1:1"}))

    def test_a_backfill_stops_and_says_how_it_goes_on(self) -> None:
        with pytest.raises(BudgetAway, match="start the command again"):
            budget(self.client, "backfill").take(OWN, EVENTS)

    def test_events_are_fetched_at_a_rate_of_their_own(self) -> None:
        fetch = budget(self.client, "fetch")
        fetch.take(OWN, EVENTS)

        with pytest.raises(WouldWait) as caught:
            fetch.take(OWN, EVENTS)

        # Two workers may ask at once, and neither knows of the other.
        assert caught.value.args[0] == pytest.approx(2 / SLOW, abs=5)
        fetch.note(OWN, ANSWER)

    def test_a_command_keeps_to_the_rate_by_itself(self) -> None:
        plans = budget(None, "plans")
        plans.take(OWN, EVENTS)
        plans.note(OWN, ANSWER)

        with pytest.raises(WouldWait):
            plans.take(OWN, EVENTS)

    def test_a_backfill_does_not_count_in_vain(self) -> None:
        with pytest.raises(BudgetAway):
            budget(self.client, "backfill").note(OWN, ANSWER)


class TestCounts:
    def test_are_of_reads_by_account_and_of_results_by_caller(self, client: redis.Redis) -> None:
        fetch, backfill = budget(client, "fetch"), budget(client, "backfill")
        fetch.take(OWN, EVENTS)
        fetch.take(OWN, "/v1/webhook_endpoints/we_1", reads=False)
        backfill.take(OTHER, EVENTS)
        fetch.note(OWN, ANSWER)
        fetch.note(OWN, ApiAway("500"))
        backfill.note(OTHER, ANSWER)

        requests = ApiRequests(client)

        assert [(each.account, each.today, each.in_30_days) for each in requests.usage()] == [
            ("test", 1, 1),
            ("test/acct_2", 1, 1),
        ]
        assert requests.results() == {
            ("fetch", "answered"): 1,
            ("fetch", "away"): 1,
            ("backfill", "answered"): 1,
        }

    def test_are_of_the_last_30_days(self, client: redis.Redis) -> None:
        today = int(redis_ms(client) // 86_400_000)
        for ago, number in ((29, 5), (30, 7), (31, 9)):
            client.hset("paidup:stripe:sent:test", str(today - ago), str(number))

        budget(client, "fetch").take(OWN, EVENTS)

        (usage,) = ApiRequests(client).usage()
        assert (usage.today, usage.in_30_days) == (1, 6)
        assert client.hlen("paidup:stripe:sent:test") == 3  # the oldest is gone


def test_a_clock_that_stepped_back_delays_nothing_for_as_long(client: redis.Redis) -> None:
    hour = redis_ms(client) + 3_600_000
    note(client, next=hour, paused_until=0, raised_until=hour, limited_at=hour, slowed=3)

    with pytest.raises(ApiLimited) as caught:
        budget(client, "fetch").take(OWN, EVENTS)

    assert caught.value.seconds <= 1 / SLOW


@pytest.mark.parametrize(
    ("rate", "account", "expected"),
    [(None, LIVE, 20.0), (None, OWN, 5.0), (50, OWN, 25.0), (0.5, LIVE, 0.5)],
)
def test_the_default_is_a_fifth_of_stripes_limit(
    rate: float | None, account: ApiAccount, expected: float
) -> None:
    assert rate_by_default(settings(rate), livemode=account.livemode) == expected


@pytest.mark.parametrize(
    ("request_path", "endpoint"),
    [
        ("/v1/events?limit=100", "/v1/events"),
        ("/v1/events/evt_1", "/v1/events/:id"),
        (
            "/v1/checkout/sessions/cs_test_a1/line_items?limit=1",
            "/v1/checkout/sessions/:id/line_items",
        ),
        (
            "/v1/entitlements/active_entitlements?customer=cus_1",
            "/v1/entitlements/active_entitlements",
        ),
    ],
)
def test_an_endpoint_is_a_path_without_ids(request_path: str, endpoint: str) -> None:
    assert endpoint_of(request_path) == endpoint
