"""The fetch lane moves events in and out, and has its own limit and breaker."""

import time

import pytest

from billing.envelope import Envelope
from runtime.inbox.entries import Deferred, Lane, Parked
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox
from tests.runtime.inbox.entry_builders import (
    PREFIX,
    Client,
    event,
    key_of,
    keys_of,
    let_time_pass,
    one_place_each,
    settled,
)

pytestmark = pytest.mark.servers


@pytest.fixture
def lane(client: Client) -> FetchLane:
    return FetchLane(client, at_once=2)


def of_others(number: int) -> Envelope:
    return event(number, customer=f"cus_{number}")


def fill(inbox: Inbox, lane: FetchLane, *numbers: int) -> str | None:
    """Claim events of different customers, defer them, and return the wake-up owed."""
    for number in numbers:
        inbox.accept(of_others(number))
    inbox.claim("drainer")
    return lane.defer("drainer", [Deferred(key=key_of(number)) for number in numbers]).wake


class TestMoving:
    def test_an_event_is_in_one_place_before_and_after(
        self, inbox: Inbox, lane: FetchLane, client: Client
    ) -> None:
        wake = fill(inbox, lane, 1, 2)

        assert wake is not None
        assert one_place_each(client) == {
            "evt_1": [f"{PREFIX}queue:fetch|test:cus_1"],
            "evt_2": [f"{PREFIX}queue:fetch|test:cus_2"],
        }
        assert inbox.backlog().by_lane[Lane.FETCH] == 2
        assert inbox.claim("drainer").entries == ()
        assert inbox.sweep().healed == 0

    def test_an_unsettled_event_is_a_pending_duplicate(self, inbox: Inbox, lane: FetchLane) -> None:
        fill(inbox, lane, 1)

        again = inbox.accept(of_others(1))

        assert (again.status, again.result) == ("duplicate", None)

    def test_a_settled_event_answers_duplicates_with_its_result(
        self, inbox: Inbox, lane: FetchLane
    ) -> None:
        inbox.accept(event(1))
        inbox.claim("drainer")

        (finished,) = settled(["evt_1"])
        lane.defer("drainer", [Deferred(key="evt_1", settled=finished)])

        again = inbox.accept(event(1))
        assert (again.status, again.result) == ("duplicate", {"outcome": "applied"})
        assert keys_of(lane.claim("fetcher", wake=None)) == ["evt_1"]

    def test_an_event_of_another_owner_stays_where_it_is(
        self, inbox: Inbox, lane: FetchLane
    ) -> None:
        inbox.accept(event(1))
        inbox.claim("owner")

        assert lane.defer("somebody", [Deferred(key="evt_1")]).events == 0
        assert inbox.finish("owner", settled(["evt_1"])).events == 1

    def test_earlier_failures_do_not_count_in_this_lane(
        self, inbox: Inbox, lane: FetchLane
    ) -> None:
        inbox.accept(event(1))
        inbox.claim("drainer")
        inbox.park("drainer", [Parked(key="evt_1", delay_seconds=0, charged=True, error="x")])
        inbox.claim("drainer")
        lane.defer("drainer", [Deferred(key="evt_1")])

        (entry,) = lane.claim("fetcher", wake=None).entries

        assert (entry.attempts, entry.lane, entry.last_error) == (0, Lane.FETCH, None)

    def test_the_next_event_of_the_customer_need_not_wait(
        self, inbox: Inbox, lane: FetchLane
    ) -> None:
        fill(inbox, lane, 1)
        lane.claim("fetcher", wake=None)
        inbox.accept(event(2, customer="cus_1"))

        assert keys_of(inbox.claim("drainer")) == ["evt_2"]

    def test_a_fetched_event_finishes_as_any_other(
        self, inbox: Inbox, lane: FetchLane, client: Client
    ) -> None:
        fill(inbox, lane, 1)
        lane.claim("fetcher", wake=None)

        assert inbox.finish("fetcher", settled(["evt_1"])).events == 1

        assert lane.leave("fetcher", hand_on=True) is None
        left = {key.decode().removeprefix(PREFIX) for key in client.keys(f"{PREFIX}*")}
        assert left <= {"counters", "done:evt_1", "epoch", "fetch:health", "fetch:wakes"} | {
            "database:epoch",
            "settled",
            "drainers",
        }


class TestTaking:
    def test_one_event_at_a_time(self, inbox: Inbox, lane: FetchLane) -> None:
        wake = fill(inbox, lane, 1, 2)

        claim = lane.claim("fetcher", wake=wake)

        assert keys_of(claim) == ["evt_1"]
        assert claim.wake is not None

    def test_at_most_the_allowed_number_fetch_at_once(self, inbox: Inbox, lane: FetchLane) -> None:
        fill(inbox, lane, 1, 2, 3)

        for fetcher, keys in (("a", ["evt_1"]), ("b", ["evt_2"]), ("c", []), ("a", ["evt_1"])):
            assert keys_of(lane.claim(fetcher, wake=None)) == keys
        assert lane.wake() is None

    def test_an_owner_whose_lease_ran_out_makes_room(
        self, inbox: Inbox, lane: FetchLane, client: Client
    ) -> None:
        fill(inbox, lane, 1, 2)
        for fetcher in ("a", "b"):
            assert lane.claim(fetcher, wake=None).entries
        let_time_pass(client, 11)

        assert inbox.sweep().reclaimed == 2

        (entry,) = lane.claim("c", wake=None).entries
        assert (entry.lane, entry.crashes) == (Lane.FETCH, 1)

    def test_a_heartbeat_keeps_both_the_claim_and_the_place(
        self, inbox: Inbox, lane: FetchLane, client: Client
    ) -> None:
        fill(inbox, lane, 1)
        lane.claim("a", wake=None)
        let_time_pass(client, 2)

        assert inbox.heartbeat("a")
        let_time_pass(client, 2)

        assert client.zcount(f"{PREFIX}fetchers", time.time() * 1000, "+inf") == 1

    def test_parked_events_are_not_due(self, inbox: Inbox, lane: FetchLane) -> None:
        fill(inbox, lane, 1, 2)
        assert inbox.backlog().fetch_due == 2
        lane.claim("a", wake=None)
        assert inbox.backlog().fetch_due == 1
        inbox.park("a", [Parked(key="evt_1", delay_seconds=60, charged=False, error="x")])

        backlog = inbox.backlog()

        assert (backlog.fetch_due, backlog.parked, backlog.due) == (1, 1, 0)
        assert keys_of(lane.claim("a", wake=None)) == ["evt_2"]

    def test_its_events_do_not_count_as_due_for_drainers(
        self, inbox: Inbox, lane: FetchLane
    ) -> None:
        fill(inbox, lane, 1, 2)

        backlog = inbox.backlog()

        assert (backlog.events, backlog.due, backlog.waiting_seconds) == (2, 0, 0.0)
        assert inbox.sweep().wakes == ()

    def test_the_time_of_the_last_claim_is_known(self, lane: FetchLane) -> None:
        assert lane.asked_at() is None

        lane.claim("a", wake=None)

        at = lane.asked_at()
        assert at is not None
        assert abs(at.timestamp() - time.time()) < 5


class TestWakeUps:
    def test_one_is_owed_for_unclaimed_events(
        self, inbox: Inbox, lane: FetchLane, client: Client
    ) -> None:
        fill(inbox, lane, 1)
        assert lane.wake() is None  # one is on its way
        let_time_pass(client, 3)

        wake = lane.wake()

        assert wake is not None
        assert lane.wake() is None
        assert keys_of(lane.claim("a", wake=wake)) == ["evt_1"]

    def test_none_is_owed_without_events(self, lane: FetchLane) -> None:
        assert lane.wake() is None

    def test_an_owner_that_hands_on_owes_one_for_the_rest(
        self, inbox: Inbox, lane: FetchLane
    ) -> None:
        wake = fill(inbox, lane, 1)
        lane.claim("a", wake=wake)

        assert lane.leave("a", hand_on=True) is not None
        assert inbox.backlog().fetch_due == 1


class TestTheBreaker:
    def test_opens_at_the_third_failure_in_a_row_and_closes_with_a_success(
        self, inbox: Inbox, lane: FetchLane
    ) -> None:
        fill(inbox, lane, 1)

        assert [lane.failed("timeout") for _ in range(3)] == [False, False, True]

        assert lane.claim("a", wake=None).refused
        assert lane.wake() is None
        breaker = inbox.backlog().fetch_breaker
        assert breaker is not None
        assert breaker.reason == "timeout"
        lane.succeeded()
        assert keys_of(lane.claim("a", wake=None)) == ["evt_1"]
        assert not lane.failed("timeout")

    def test_stays_open_longer_each_time_up_to_a_limit(
        self, lane: FetchLane, client: Client
    ) -> None:
        rests = []
        for _ in range(12):
            lane.failed("timeout")
            rests.append(client.pttl(f"{PREFIX}breaker:fetch"))

        assert [round(rest / 1000) for rest in rests[2:9]] == [5, 10, 20, 40, 80, 160, 300]
        assert round(rests[-1] / 1000) == 300

    def test_allows_one_request_before_it_closes(
        self, inbox: Inbox, lane: FetchLane, client: Client
    ) -> None:
        fill(inbox, lane, 1, 2)
        for _ in range(3):
            lane.failed("timeout")
        client.delete(f"{PREFIX}breaker:fetch")

        assert keys_of(lane.claim("a", wake=None)) == ["evt_1"]
        assert lane.claim("b", wake=None).entries == ()

    def test_pauses_as_long_as_stripe_asks_but_at_most_five_minutes(
        self, inbox: Inbox, lane: FetchLane, client: Client
    ) -> None:
        for asked, given in ((0.0, 1), (30.0, 30), (86_400.0, 300)):
            lane.pause("429", asked)
            assert round(client.pttl(f"{PREFIX}breaker:fetch") / 1000) == given

        assert inbox.backlog().fetch_breaker is not None

    def test_does_not_affect_the_other_lanes(self, inbox: Inbox, lane: FetchLane) -> None:
        fill(inbox, lane, 1)
        lane.pause("429", 60)
        inbox.accept(event(2))

        assert keys_of(inbox.claim("drainer")) == ["evt_2"]
        assert not inbox.breaker_open()

    def test_of_the_database_stops_this_lane_too(self, inbox: Inbox, lane: FetchLane) -> None:
        fill(inbox, lane, 1)
        inbox.open_breaker("PostgreSQL is away", 60)

        assert lane.claim("a", wake=None).refused

    def test_remembers_when_stripe_answered_last(self, lane: FetchLane) -> None:
        assert lane.succeeded_at() is None

        lane.succeeded()

        at = lane.succeeded_at()
        assert at is not None
        assert abs(at.timestamp() - time.time()) < 5
