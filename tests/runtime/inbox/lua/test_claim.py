import json
from datetime import UTC, datetime, timedelta

import pytest

from runtime.inbox.entries import Lane, Parked
from runtime.inbox.inbox import Inbox
from runtime.time_limits import APART
from tests.runtime.inbox.entry_builders import (
    PREFIX,
    Client,
    claim_and_finish_all,
    event,
    key_of,
    keys_of,
    let_time_pass,
    one_place_each,
    settled,
)

pytestmark = pytest.mark.servers

HOT = "cus_0"
"""Of customers whose oldest events came within one millisecond, this one is claimed first."""


def move_all_into_one_millisecond(client: Client) -> None:
    """Move all times of the inbox, as if it had a very coarse clock."""
    for name in client.scan_iter(f"{PREFIX}*", _type="zset"):
        client.zadd(name, dict.fromkeys(client.zrange(name, 0, -1), 1))


def test_nothing_due_gives_nothing_and_ends_the_registration(inbox: Inbox) -> None:
    wake = inbox.accept(event(1)).wake
    assert keys_of(inbox.claim("first", wake=wake)) == ["evt_1"]

    inbox.finish("first", settled(["evt_1"]))
    empty = inbox.claim("first")

    assert (empty.entries, empty.wake, empty.refused) == ((), None, False)
    assert inbox.backlog().drainers == 0
    assert inbox.accept(event(2)).wake is not None


def test_a_partition_belongs_to_one_owner_at_a_time(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2, customer="cus_2"))
    assert len(inbox.claim("first").entries) == 2
    inbox.accept(event(3))

    assert inbox.claim("second").entries == ()

    inbox.finish("first", settled(["evt_1"]))
    assert keys_of(inbox.claim("second")) == ["evt_3"]


def test_a_partition_is_free_again_only_when_its_last_event_left_the_claim(inbox: Inbox) -> None:
    for number in (1, 2, 3):
        inbox.accept(event(number))
    inbox.claim("first", max_events=2)

    inbox.finish("first", settled(["evt_1"]))
    assert inbox.claim("second").entries == ()
    inbox.finish("first", settled(["evt_2"]))

    assert keys_of(inbox.claim("second")) == ["evt_3"]


def test_a_batch_has_at_most_so_many_events(inbox: Inbox) -> None:
    for number in range(7):
        inbox.accept(event(number, customer=f"cus_{number % 2}"))

    assert len(inbox.claim("owner", max_events=5).entries) == 5


def test_events_of_one_millisecond_are_claimed_in_the_order_of_their_numbers(
    inbox: Inbox, client: Client
) -> None:
    for number in range(8, 102):
        inbox.accept(event(number))
    move_all_into_one_millisecond(client)

    assert keys_of(inbox.claim("owner", max_events=200)) == [key_of(n) for n in range(8, 102)]


def test_a_partition_gets_a_quarter_of_a_batch_while_others_wait(inbox: Inbox) -> None:
    for number in range(20):
        inbox.accept(event(number, customer=HOT))
    for number in range(20, 26):
        inbox.accept(event(number, customer=f"cus_{number}"))

    claimed = keys_of(inbox.claim("owner", max_events=12))

    assert claimed == [key_of(number) for number in (0, 1, 2, *range(20, 26))]


def test_a_partition_gets_a_quarter_of_the_bytes_while_others_wait(inbox: Inbox) -> None:
    for number in range(4):
        inbox.accept(event(number, customer=HOT, padding=5000))
    for number in range(4, 8):
        inbox.accept(event(number, customer=f"cus_{number}"))

    claimed = keys_of(inbox.claim("owner", max_bytes=24_000))

    assert claimed == [key_of(number) for number in (0, 1, *range(4, 8))]


def test_a_partition_gets_the_whole_batch_while_no_other_waits(inbox: Inbox) -> None:
    for number in range(12):
        inbox.accept(event(number))

    assert len(inbox.claim("owner", max_events=12).entries) == 12


def test_suspected_events_are_due_as_before_and_claimed_alone(inbox: Inbox) -> None:
    for number in range(4):
        inbox.accept(event(number, customer=f"cus_{number}"))
    inbox.claim("first")

    assert inbox.suspect("first", ["evt_1", "evt_2", "evt_unknown"]) == 2
    inbox.release("first")
    inbox.accept(event(9, customer="cus_9"))

    claims = [inbox.claim(owner) for owner in ("a", "b", "c")]
    assert [keys_of(each) for each in claims] == [["evt_0", "evt_3", "evt_9"], ["evt_1"], ["evt_2"]]
    assert [each.alone for each in claims] == [False, True, True]
    suspects = [entry for claim in claims[1:] for entry in claim.entries]
    assert [(each.attempts, each.crashes) for each in suspects] == [(0, 0), (0, 0)]
    assert inbox.backlog().parked == 0


def test_a_partition_rests_with_its_event_and_is_then_tried_with_one_event(
    inbox: Inbox, client: Client
) -> None:
    for number in range(3):
        inbox.accept(event(number, customer="cus_locked"))
    inbox.claim("first")
    parked = Parked(key="evt_0", delay_seconds=0.3, charged=True, error="locked", rest_seconds=0.3)
    inbox.park("first", [parked])
    inbox.release("first")
    inbox.accept(event(3, customer="cus_locked"))
    inbox.accept(event(4, customer="cus_free"))

    assert keys_of(inbox.claim("second")) == ["evt_4"]
    let_time_pass(client, 0.3)
    assert keys_of(inbox.claim("third")) == ["evt_1"]
    inbox.finish("third", settled(["evt_1"]))
    assert keys_of(inbox.claim("third")) == ["evt_2", "evt_3"]


def test_a_partition_rests_for_less_than_its_event_waits(inbox: Inbox, client: Client) -> None:
    for number in range(3):
        inbox.accept(event(number, customer="cus_locked"))
    inbox.claim("first")
    locked = Parked(key="evt_0", delay_seconds=600, charged=True, error="locked", rest_seconds=30)
    inbox.park("first", [locked])
    inbox.release("first")

    inbox.sweep()
    let_time_pass(client, 29)
    assert keys_of(inbox.claim("second")) == []
    let_time_pass(client, 1)
    assert keys_of(inbox.claim("second")) == ["evt_1"]
    inbox.finish("second", settled(["evt_1"]))
    assert keys_of(inbox.claim("second")) == ["evt_2"]
    inbox.finish("second", settled(["evt_2"]))
    let_time_pass(client, 500)
    assert keys_of(inbox.claim("second")) == []
    let_time_pass(client, 70)
    assert keys_of(inbox.claim("second")) == ["evt_0"]


def test_a_partition_that_is_set_apart_shares_no_claim_and_waits_behind_others(
    inbox: Inbox, client: Client
) -> None:
    for number in range(3):
        inbox.accept(event(number, customer="cus_slow"))
    inbox.accept(event(3, customer="cus_1"))
    inbox.claim("owner")

    assert inbox.set_apart("owner", ["evt_0", "evt_1", "evt_2"]) == 3
    inbox.release("owner")
    inbox.accept(event(4, customer="cus_2"))

    assert keys_of(inbox.claim("first")) == ["evt_3", "evt_4"]
    assert keys_of(inbox.claim("second")) == ["evt_0", "evt_1", "evt_2"]
    inbox.release("first")
    inbox.release("second")
    let_time_pass(client, APART.total_seconds())
    assert len(inbox.claim("third").entries) == 5


def test_the_owner_of_a_claim_that_ended_suspects_nothing(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.claim("first")
    inbox.release("first")
    inbox.claim("second")

    assert inbox.suspect("first", ["evt_1"]) == 0
    assert inbox.heartbeat("second")


def test_a_batch_has_at_most_so_many_bytes_but_at_least_one_event(inbox: Inbox) -> None:
    for number in range(4):
        inbox.accept(event(number, customer=f"cus_{number}", padding=5000))

    assert len(inbox.claim("first", max_bytes=11_000).entries) == 2
    assert len(inbox.claim("second", max_bytes=10).entries) == 1


def test_live_events_come_first_and_the_fetch_lane_is_claimed_separately(inbox: Inbox) -> None:
    inbox.requeue(event(1, customer="cus_1"), lane=Lane.FETCH)
    inbox.requeue(event(2, customer="cus_2"))
    inbox.accept(event(3, customer="cus_3"))

    first = inbox.claim("drainer", max_events=1)
    second = inbox.claim("another")
    fetch = inbox.claim("fetcher", lanes=[Lane.FETCH])

    assert [keys_of(claim) for claim in (first, second, fetch)] == [["evt_3"], ["evt_2"], ["evt_1"]]
    assert [claim.entries[0].lane for claim in (first, second, fetch)] == [
        Lane.LIVE,
        Lane.REPLAY,
        Lane.FETCH,
    ]


def test_a_fetcher_is_no_drainer(inbox: Inbox) -> None:
    inbox.requeue(event(1), lane=Lane.FETCH)
    inbox.claim("fetcher", lanes=[Lane.FETCH])

    assert inbox.backlog().drainers == 0


def test_a_full_batch_with_more_due_owes_a_wake_up_while_processes_are_idle(inbox: Inbox) -> None:
    inbox.announce("supervisor", 3)
    for number in range(9):
        inbox.accept(event(number, customer=f"cus_{number}"))
    let_wakes_be = [inbox.claim(f"owner{n}", max_events=2).wake for n in range(3)]

    assert [wake is not None for wake in let_wakes_be] == [True, False, False]
    assert inbox.backlog().drainers == 5


def test_one_worker_process_needs_no_further_wake_up(inbox: Inbox) -> None:
    wake = inbox.accept(event(1)).wake
    inbox.accept(event(2, customer="cus_2"))

    assert inbox.claim("owner", wake=wake, max_events=1).wake is None


def test_an_owner_that_claims_again_releases_what_it_never_received(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2, customer="cus_2"))
    inbox.claim("owner", max_events=1)

    again = inbox.claim("owner")

    assert sorted(keys_of(again)) == ["evt_1", "evt_2"]
    assert [entry.crashes + entry.attempts for entry in again.entries] == [0, 0]
    assert all(len(places) == 1 for places in one_place_each(client).values())


def test_the_breaker_refuses_claims_and_ends_the_registration(inbox: Inbox) -> None:
    wake = inbox.accept(event(1)).wake
    inbox.open_breaker("database away", 30)

    refused = inbox.claim("owner", wake=wake)

    assert (refused.refused, refused.entries) == (True, ())
    assert inbox.backlog().drainers == 0
    inbox.close_breaker()
    assert keys_of(inbox.claim("owner")) == ["evt_1"]


def test_a_parked_event_is_claimed_when_it_is_due_and_not_before(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    inbox.park("owner", [Parked(key="evt_1", delay_seconds=60, charged=True, error="locked")])

    assert inbox.claim("other").entries == ()
    let_time_pass(client, 61)

    (entry,) = inbox.claim("other").entries
    assert (entry.attempts, entry.last_error) == (1, "locked")


def test_a_parked_event_does_not_hold_back_its_partition(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    inbox.park("owner", [Parked(key="evt_1", delay_seconds=60, charged=True, error="locked")])
    inbox.accept(event(2))

    assert keys_of(inbox.claim("other")) == ["evt_2"]


def test_an_entry_of_newer_code_waits_for_newer_code(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2))
    newer = client.hget(f"{PREFIX}event:meta", "evt_1").replace(b'{"v":1,', b'{"v":2,')
    client.hset(f"{PREFIX}event:meta", "evt_1", newer)

    assert claim_and_finish_all(inbox) == ["evt_2"]

    backlog = inbox.backlog()
    assert (backlog.events, backlog.unknown_version, backlog.parked) == (1, 1, 1)
    assert inbox.accept(event(1)).status == "duplicate"
    client.hset(f"{PREFIX}event:meta", "evt_1", newer.replace(b'{"v":2,', b'{"v":1,'))
    let_time_pass(client, 6)
    assert claim_and_finish_all(inbox) == ["evt_1"]
    assert inbox.backlog().unknown_version == 0


def test_an_entry_of_older_code_is_claimed(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    older = client.hget(f"{PREFIX}event:meta", "evt_1").replace(b'{"v":1,', b'{"v":0,')
    client.hset(f"{PREFIX}event:meta", "evt_1", older)

    (entry,) = inbox.claim("owner").entries
    assert entry.version == 0


@pytest.mark.parametrize("header", ["", "{}", "[]", "nonsense", '{"fp":"00","v":1}'])
def test_an_event_with_an_unreadable_header_is_never_claimed_and_never_dropped(
    inbox: Inbox, client: Client, header: str
) -> None:
    inbox.accept(event(1))
    client.hset(f"{PREFIX}event:meta", "evt_1", header)

    assert inbox.claim("owner").entries == ()
    assert inbox.sweep().healed == 0
    assert (inbox.backlog().events, inbox.backlog().unknown_version) == (1, 1)
    (peeked,) = inbox.peek(["evt_1"])
    assert (peeked.state, peeked.body) == ("waiting", event(1).body)


def test_an_event_without_header_is_claimed_all_the_same(inbox: Inbox, client: Client) -> None:
    envelope = event(1)
    inbox.accept(envelope)
    client.hdel(f"{PREFIX}event:meta", "evt_1")

    (entry,) = inbox.claim("owner").entries

    assert (entry.body, entry.origin) == (envelope.body, "stripe")
    header = json.loads(client.hget(f"{PREFIX}event:meta", "evt_1"))
    assert header["partition"] == envelope.partition
    assert inbox.backlog().counters["healed"] == 1


def test_an_index_entry_without_body_is_healed_and_counted(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2))
    client.hdel(f"{PREFIX}event:body", "evt_1")

    assert claim_and_finish_all(inbox) == ["evt_2"]

    assert (inbox.backlog().events, inbox.backlog().counters["healed"]) == (0, 1)
    assert inbox.accept(event(1)).status == "accepted"


def test_the_age_of_an_event_follows_the_clock_of_redis(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    let_time_pass(client, 100)

    (entry,) = inbox.claim("owner").entries

    age = datetime.now(UTC) - entry.received_at
    assert timedelta(seconds=90) < age < timedelta(seconds=110)


@pytest.mark.parametrize("history", ["", "nonsense", "[]", "7"])
def test_an_unreadable_history_stops_no_claim(inbox: Inbox, client: Client, history: str) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2, customer="cus_2"))
    client.hset(f"{PREFIX}history", "evt_1", history)

    assert len(inbox.claim("owner").entries) == 2
    let_time_pass(client, 11)
    assert inbox.sweep().reclaimed == 2


def test_a_header_that_is_broken_after_its_beginning_stops_no_claim(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    client.hset(f"{PREFIX}event:meta", "evt_1", '{"v":1,"fp":"00", broken')

    (entry,) = inbox.claim("owner").entries

    assert (entry.body, entry.origin, entry.version) == (event(1).body, "stripe", 1)
