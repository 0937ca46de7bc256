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
    settled,
)

pytestmark = pytest.mark.servers


def test_a_claim_with_a_heartbeat_is_left_alone(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    for _ in range(4):
        let_time_pass(client, 8)
        assert inbox.heartbeat("owner")
        assert inbox.sweep().reclaimed == 0

    assert inbox.finish("owner", settled(["evt_1"])).events == 1


def test_events_of_an_owner_whose_lease_ran_out_are_due_again(inbox: Inbox, client: Client) -> None:
    for number in range(3):
        inbox.accept(event(number, customer=f"cus_{number}"))
    inbox.claim("owner")
    let_time_pass(client, 11)

    swept = inbox.sweep()

    assert (swept.reclaimed, swept.crashed, len(swept.wakes)) == (3, 0, 1)
    assert inbox.backlog().counters["reclaimed"] == 3
    assert sorted(places[0] for places in one_place_each(client).values()) == [
        f"{PREFIX}queue:live|test:cus_{n}" for n in range(3)
    ]


def test_a_second_sweep_finds_nothing_more(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    let_time_pass(client, 11)

    first, second = inbox.sweep(), inbox.sweep()

    assert (first.reclaimed, len(first.wakes)) == (1, 1)
    assert (second.reclaimed, len(second.wakes)) == (0, 0)


def test_suspects_are_tried_alone_and_neighbours_are_never_charged(
    inbox: Inbox, client: Client
) -> None:
    for number in range(3):
        inbox.accept(event(number, customer=f"cus_{number}"))
    inbox.claim("killed")
    let_time_pass(client, 11)
    inbox.sweep()

    claims = []
    for number in range(3):
        claim = inbox.claim(f"next{number}")
        claims.append((len(claim.entries), claim.alone, claim.entries[0].crashes))

    assert claims == [(1, True, 0)] * 3


def test_crashes_alone_are_charged_to_that_event_only(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2, customer="cus_2"))
    inbox.claim("killed")
    crashes = []
    for _ in range(3):
        let_time_pass(client, 11)
        inbox.sweep()
        while keys_of(claim := inbox.claim("worker", max_events=10)) != ["evt_1"]:
            inbox.finish("worker", settled(keys_of(claim)))
        crashes.append(claim.entries[0].crashes)

    let_time_pass(client, 11)
    assert inbox.sweep().crashed == 1
    assert crashes == [0, 1, 2]
    assert inbox.claim("worker").entries[0].crashes == 3


def test_the_last_event_of_a_batch_is_not_charged_as_if_it_had_been_alone(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2, customer="cus_2"))
    inbox.claim("owner")
    inbox.finish("owner", settled(["evt_1"]))
    let_time_pass(client, 11)

    swept = inbox.sweep()

    assert (swept.reclaimed, swept.crashed) == (1, 0)


@pytest.mark.parametrize(("charged", "together"), [(False, 2), (True, 1)])
def test_a_suspect_that_was_parked_is_no_suspect_unless_it_was_charged(
    inbox: Inbox, client: Client, *, charged: bool, together: int
) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2, customer="cus_2"))
    inbox.claim("killed")
    let_time_pass(client, 11)
    inbox.sweep()
    for number in (1, 2):
        claim = inbox.claim(f"owner{number}")
        park = Parked(key=keys_of(claim)[0], delay_seconds=5, charged=charged, error="locked")
        inbox.park(f"owner{number}", [park])
    let_time_pass(client, 6)

    assert len(inbox.claim("next").entries) == together


def test_an_event_that_was_charged_is_tried_alone_even_after_an_outage(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2, customer="cus_2"))
    for charged in (True, False):
        claim = inbox.claim("owner")
        inbox.park(
            "owner",
            [Parked(key=k, delay_seconds=5, charged=charged, error="no") for k in keys_of(claim)],
        )
        let_time_pass(client, 6)

    assert len(inbox.claim("next").entries) == 1


def test_a_released_suspect_stays_one(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.accept(event(2, customer="cus_2"))
    inbox.claim("killed")
    let_time_pass(client, 11)
    inbox.sweep()
    inbox.claim("owner")
    inbox.release("owner")

    assert len(inbox.claim("next").entries) == 1


def test_a_suspect_does_not_hold_back_other_partitions(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.claim("killed")
    let_time_pass(client, 11)
    inbox.sweep()
    inbox.accept(event(2, customer="cus_2"))
    inbox.accept(event(3, customer="cus_3"))

    assert keys_of(inbox.claim("first")) == ["evt_1"]
    assert sorted(keys_of(inbox.claim("second"))) == ["evt_2", "evt_3"]


def test_unclaimed_due_events_wake_workers_up_to_their_number(inbox: Inbox, client: Client) -> None:
    inbox.announce("one", 2)
    inbox.announce("two", 1)
    inbox.accept(event(1))
    let_time_pass(client, 3)

    swept = inbox.sweep()

    assert len(swept.wakes) == 3
    assert inbox.sweep().wakes == ()
    let_time_pass(client, 3)
    assert len(inbox.sweep(max_wakes=1).wakes) == 1


def test_no_worker_is_woken_without_due_events_or_while_the_breaker_is_open(
    inbox: Inbox, client: Client
) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    inbox.park("owner", [Parked(key="evt_1", delay_seconds=60, charged=True, error="locked")])
    inbox.leave("owner", hand_on=False)

    assert inbox.sweep().wakes == ()

    let_time_pass(client, 61)
    inbox.open_breaker("database away", 30)
    assert inbox.sweep().wakes == ()
    inbox.close_breaker()
    assert len(inbox.sweep().wakes) == 1


def test_a_worker_that_is_gone_no_longer_counts(inbox: Inbox, client: Client) -> None:
    inbox.announce("stays", 1)
    inbox.announce("leaves", 4)
    inbox.announce("leaves", 0)
    inbox.announce("dies", 8)
    let_time_pass(client, 11)
    inbox.announce("stays", 1)
    inbox.sweep()

    backlog = inbox.backlog()

    assert (backlog.workers, backlog.processes) == (1, 1)


def test_a_partition_held_for_a_claim_that_is_gone_is_freed(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    client.hset(f"{PREFIX}held", "live|test:cus_1", "nobody")
    client.delete(f"{PREFIX}ready:live")

    assert inbox.sweep().healed == 1

    assert claim_and_finish_all(inbox) == ["evt_1"]


@pytest.mark.parametrize("lost", ["queue:live|test:cus_1", "ready:live"])
def test_an_event_that_is_in_no_place_is_put_into_its_queue(
    inbox: Inbox, client: Client, lost: str
) -> None:
    inbox.accept(event(1))
    client.delete(f"{PREFIX}{lost}")
    if lost.startswith("queue"):
        client.delete(f"{PREFIX}ready:live")

    assert inbox.sweep().healed > 0

    assert inbox.sweep().healed == 0
    assert claim_and_finish_all(inbox) == ["evt_1"]


def test_an_event_whose_body_is_gone_leaves_the_index(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    inbox.requeue(event(2), lane=Lane.FETCH)
    client.delete(f"{PREFIX}event:body")

    assert inbox.sweep().healed == 2

    backlog = inbox.backlog()
    assert (backlog.events, backlog.by_lane[Lane.FETCH]) == (0, 0)


def test_healing_leaves_sound_events_as_they_are(inbox: Inbox, client: Client) -> None:
    for number in range(300):
        inbox.accept(event(number, customer=f"cus_{number % 7}"))
    inbox.claim("owner", max_events=50)
    before = one_place_each(client)

    assert [inbox.sweep().healed for _ in range(5)] == [0] * 5
    assert one_place_each(client) == before


def test_the_claim_of_an_owner_known_to_be_dead_ends_before_its_lease(inbox: Inbox) -> None:
    for number in range(3):
        inbox.accept(event(number, customer=f"cus_{number}"))
    inbox.claim("alive", max_events=1)
    inbox.claim("dead")

    orphaned = inbox.release_orphan("dead")

    assert (orphaned.reclaimed, orphaned.crashed, len(orphaned.wakes)) == (2, 0, 0)
    assert len(keys_of(inbox.claim("next"))) == 1
    assert inbox.heartbeat("alive")
    assert not inbox.heartbeat("dead")
    assert inbox.release_orphan("dead").reclaimed == 0


def test_an_event_that_was_alone_in_an_orphaned_claim_is_charged_and_wakes_a_worker(
    inbox: Inbox,
) -> None:
    inbox.accept(event(1))
    inbox.claim("dead")

    orphaned = inbox.release_orphan("dead")

    assert (orphaned.reclaimed, orphaned.crashed, len(orphaned.wakes)) == (1, 1, 1)
    assert inbox.peek(["evt_1"])[0].history["crashes"] == 1


def test_a_wake_up_that_a_dead_process_may_have_taken_is_sent_again(inbox: Inbox) -> None:
    inbox.accept(event(1))

    orphaned = inbox.release_orphan("died before it claimed anything")

    assert (orphaned.reclaimed, len(orphaned.wakes)) == (0, 1)
