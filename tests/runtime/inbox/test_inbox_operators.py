import json
from datetime import UTC, datetime, timedelta

import pytest

from runtime.inbox.entries import Lane, Parked
from runtime.inbox.inbox import Inbox
from tests.runtime.inbox.entry_builders import (
    PREFIX,
    Client,
    claim_and_finish_all,
    event,
    keys_of,
    let_time_pass,
    one_place_each,
)
from tests.workers.waiting import until

pytestmark = pytest.mark.servers


def test_the_backlog_of_an_empty_inbox_is_zero(inbox: Inbox) -> None:
    backlog = inbox.backlog()

    assert (backlog.events, backlog.due, backlog.parked, backlog.claimed) == (0, 0, 0, 0)
    assert (backlog.oldest_seconds, backlog.waiting_seconds) == (0.0, 0.0)
    assert (backlog.breaker, backlog.breaker_open, backlog.counters) == (None, False, {})


def test_the_backlog_counts_each_event_once(inbox: Inbox, client: Client) -> None:
    for number in range(6):
        inbox.accept(event(number, customer=f"cus_{number}"))
    inbox.requeue(event(9))
    let_time_pass(client, 5)
    inbox.announce("supervisor", 3)
    inbox.claim("owner", max_events=3)
    inbox.park("owner", [Parked(key="evt_0", delay_seconds=60, charged=True, error="locked")])

    backlog = inbox.backlog()

    assert (backlog.events, backlog.claimed, backlog.parked, backlog.due) == (7, 2, 1, 4)
    assert backlog.by_lane == {Lane.LIVE: 6, Lane.REPLAY: 1, Lane.FETCH: 0}
    assert 5 <= backlog.oldest_seconds < 6
    assert 5 <= backlog.waiting_seconds < 6
    assert (backlog.drainers, backlog.workers, backlog.processes) == (2, 1, 3)
    assert backlog.counters == {"accepted": 6, "readmitted": 1, "claimed": 3, "parked": 1}


def test_an_event_behind_a_claimed_one_is_due_but_does_not_count_as_waiting(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    inbox.accept(event(2))
    let_time_pass(client, 5)

    assert (inbox.backlog().due, inbox.backlog().waiting_seconds) == (1, 0.0)


def test_an_open_breaker_has_a_reason_and_an_end(inbox: Inbox) -> None:
    inbox.open_breaker("database unreachable: \ud800", 30)

    breaker = inbox.breaker()

    assert breaker is not None
    assert breaker.reason == "database unreachable: ?"
    left = breaker.until - datetime.now(UTC)
    assert timedelta(seconds=25) < left < timedelta(seconds=31)
    assert inbox.breaker_open()
    inbox.close_breaker()
    assert inbox.breaker() is None
    assert not inbox.breaker_open()


def test_a_breaker_that_is_opened_again_says_since_when_it_has_been_open(
    inbox: Inbox, client: Client
) -> None:
    inbox.open_breaker("12 reasons", 30)
    first = inbox.breaker()
    inbox.open_breaker("another", 60)
    again = inbox.breaker()
    inbox.close_breaker()
    began = client.time()
    until(lambda: client.time() > (began[0], began[1] + 1000), why="it is a millisecond later")
    inbox.open_breaker("later", 30)
    later = inbox.breaker()

    assert first is not None
    assert again is not None
    assert later is not None
    assert first.since is not None
    assert later.since is not None
    assert (first.reason, again.reason, again.since) == ("12 reasons", "another", first.since)
    assert later.since > first.since
    assert inbox.backlog().breaker_seconds >= 0.0


def test_a_breaker_closes_by_itself(inbox: Inbox, client: Client) -> None:
    inbox.open_breaker("database unreachable", 30)

    assert 0 < client.pttl(f"{PREFIX}breaker") <= 30_000


def test_a_settled_event_can_be_requeued_and_settled_again(inbox: Inbox) -> None:
    inbox.accept(event(1))
    claim_and_finish_all(inbox)

    again = inbox.requeue(event(1), extra={"actor": "ann", "reason": "new reader"})

    assert again.status == "accepted"
    assert inbox.accept(event(1)).status == "duplicate"
    (entry,) = inbox.claim("owner").entries
    assert (entry.lane, entry.origin, entry.extra["actor"]) == (Lane.REPLAY, "replay", "ann")


def test_a_requeued_event_owes_a_wake_up(inbox: Inbox) -> None:
    assert inbox.requeue(event(1)).wake is not None


def test_two_replays_of_one_event_requeue_it_once(inbox: Inbox) -> None:
    assert [inbox.requeue(event(1)).status for _ in range(2)] == ["accepted", "duplicate"]
    assert claim_and_finish_all(inbox) == ["evt_1"]


def test_a_pending_event_stays_in_its_lane_when_it_is_replayed(inbox: Inbox) -> None:
    inbox.accept(event(1))

    assert inbox.requeue(event(1)).status == "duplicate"
    assert inbox.backlog().by_lane[Lane.LIVE] == 1


def test_a_conflict_can_be_requeued_under_its_own_key(inbox: Inbox) -> None:
    inbox.accept(event(1))
    second = event(1, kind="customer.subscription.deleted")
    inbox.accept(second)
    claim_and_finish_all(inbox)
    (key,) = inbox.conflicts()

    inbox.requeue(second, key=key)

    assert keys_of(inbox.claim("owner")) == [key]


def test_peeking_shows_the_state_of_an_event_and_changes_nothing(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2, customer="cus_2"))
    inbox.claim("owner", max_events=1)
    before = one_place_each(client)

    claimed, waiting, absent = inbox.peek(["evt_1", "evt_2", "evt_3"])

    assert [peeked.state for peeked in (claimed, waiting, absent)] == [
        "claimed",
        "waiting",
        "absent",
    ]
    assert (waiting.body, waiting.header["type"]) == (
        event(2, customer="cus_2").body,
        "customer.subscription.updated",
    )
    assert waiting.due_at == waiting.received_at
    assert (absent.received_at, absent.body) == (None, b"")
    assert one_place_each(client) == before
    assert inbox.peek([]) == []


def test_peeking_shows_the_history_of_failures(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    inbox.park("owner", [Parked(key="evt_1", delay_seconds=60, charged=True, error="locked")])

    (peeked,) = inbox.peek(["evt_1"])

    assert (peeked.history["attempts"], peeked.history["last_error"]) == (1, "locked")
    assert peeked.due_at is not None
    assert peeked.received_at is not None
    assert peeked.due_at - peeked.received_at > timedelta(seconds=59)


def test_removing_takes_waiting_events_and_leaves_claimed_ones(
    inbox: Inbox, client: Client
) -> None:
    for number in (1, 2, 3):
        inbox.accept(event(number))
    inbox.requeue(event(4), lane=Lane.FETCH)
    inbox.claim("owner", max_events=1)

    removed = inbox.remove(["evt_1", "evt_2", "evt_4", "evt_9"])

    assert [peeked.state for peeked in removed] == ["claimed", "waiting", "waiting", "absent"]
    assert json.loads(removed[1].body)["id"] == "evt_2"
    assert sorted(one_place_each(client)) == ["evt_1", "evt_3"]
    assert inbox.backlog().by_lane[Lane.FETCH] == 0


def test_removing_the_head_of_a_partition_leaves_the_rest_ready(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    let_time_pass(client, 1)
    inbox.accept(event(2))

    inbox.remove(["evt_1"])

    assert keys_of(inbox.claim("owner")) == ["evt_2"]


def test_conflicts_can_be_removed(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.accept(event(1, kind="customer.subscription.deleted"))

    inbox.remove(inbox.conflicts())

    assert inbox.conflicts() == []
    assert inbox.backlog().events == 1


def test_two_prefixes_are_two_inboxes(client: Client, inbox: Inbox) -> None:
    other = Inbox(client, prefix="other:")
    other.accept(event(1))

    assert inbox.accept(event(1)).status == "accepted"
    assert claim_and_finish_all(inbox) == ["evt_1"]
    assert other.backlog().events == 1


def test_some_done_markers_can_be_dropped_to_free_memory(inbox: Inbox) -> None:
    for number in range(30):
        inbox.accept(event(number))
    claim_and_finish_all(inbox)

    assert inbox.drop_done_markers(most=1) >= 1


def test_the_pending_ones_of_many_keys_are_found_at_once(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2))
    inbox.claim("owner", max_events=1)

    assert inbox.pending(["evt_2", "evt_3", "evt_1"]) == ["evt_2", "evt_1"]
    assert inbox.pending([]) == []


def test_events_are_found_by_how_their_last_error_begins(inbox: Inbox, client: Client) -> None:
    for number in (1, 2, 3):
        inbox.accept(event(number))
    inbox.claim("owner")
    errors = {"evt_1": "dead letter pending (X): y", "evt_2": "locked"}
    inbox.park(
        "owner",
        [Parked(key=k, delay_seconds=9, charged=False, error=e) for k, e in errors.items()],
    )
    client.hset(f"{PREFIX}history", "evt_3", "nonsense")

    assert inbox.failed_with("dead letter pending") == ["evt_1"]
