"""The memory of what was settled last, and the accepts that Redis lost."""

from datetime import UTC, datetime

import pytest

from runtime.inbox.entries import Lane
from runtime.inbox.inbox import Inbox
from runtime.inbox.recent import NEWEST, RecentEvents
from tests.runtime.inbox.entry_builders import (
    PREFIX,
    Client,
    claim_and_finish_all,
    event,
    forget_times,
    in_order,
    key_of,
    keys_of,
    settled,
)

pytestmark = pytest.mark.servers


@pytest.fixture
def recent(client: Client) -> RecentEvents:
    return RecentEvents(client)


def settle(inbox: Inbox, numbers: range, *, padding: int = 0) -> None:
    for number in numbers:
        inbox.accept(event(number, customer=f"cus_{in_order(number)}", padding=padding))
    while (claim := inbox.claim("owner")).entries:
        inbox.finish("owner", settled(keys_of(claim), first=numbers.start))


def begin_to_keep_bodies(recent: RecentEvents) -> None:
    recent.confirm(recent.survey(), "epoch")


def bodies(client: Client) -> set[str]:
    return {key.decode() for key in client.hkeys(f"{PREFIX}event:body")}


def test_ids_and_numbers_of_settled_events_are_remembered_in_order(
    inbox: Inbox, recent: RecentEvents
) -> None:
    settle(inbox, range(1, 4))

    newest = recent.survey().newest

    assert [(each.event_id, each.settlement) for each in newest] == [
        ("evt_1", 1),
        ("evt_2", 2),
        ("evt_3", 3),
    ]
    assert abs((newest[0].left_at - datetime.now(UTC)).total_seconds()) < 30


def test_a_discarded_event_is_no_settlement(inbox: Inbox, recent: RecentEvents) -> None:
    inbox.accept(event(1))
    inbox.claim("owner")
    inbox.discard("owner", ["evt_1"])

    assert recent.settled() == []


def test_a_thousand_are_remembered_however_old_and_older_ones_go(
    inbox: Inbox, recent: RecentEvents, client: Client
) -> None:
    settle(inbox, range(1, 1101))
    forget_times(client, older_by_seconds=61)
    recent.confirm(recent.survey(), "epoch")

    left = recent.settled()

    assert (len(left), left[-1].event_id, len(recent.survey().newest)) == (
        1000,
        key_of(1100),
        NEWEST,
    )


def test_nothing_is_dropped_while_the_database_was_not_seen_to_have_it(
    inbox: Inbox, recent: RecentEvents, client: Client
) -> None:
    begin_to_keep_bodies(recent)
    settle(inbox, range(1, 1101))
    forget_times(client, older_by_seconds=3600)
    client.hset(f"{PREFIX}settled:state", "confirmed", recent.settled()[-1].entry.split(b" ")[0])
    settle(inbox, range(2000, 2001))

    assert len(recent.settled()) == 1101
    assert "evt_1" in bodies(client)


def test_workers_drop_what_is_old_when_they_settle_more(
    inbox: Inbox, recent: RecentEvents, client: Client
) -> None:
    begin_to_keep_bodies(recent)
    settle(inbox, range(1, 21))
    assert len(bodies(client)) == 20
    forget_times(client, older_by_seconds=61)
    settle(inbox, range(30, 31))

    assert bodies(client) == {key_of(30)}
    assert client.hkeys(f"{PREFIX}event:meta") == [key_of(30).encode()]


def test_without_a_supervisor_no_body_is_kept(inbox: Inbox, client: Client) -> None:
    settle(inbox, range(1, 4))

    assert bodies(client) == set()


def test_bodies_take_no_more_memory_than_allowed_and_the_oldest_go_first(
    inbox: Inbox, recent: RecentEvents, client: Client
) -> None:
    begin_to_keep_bodies(recent)
    client.hset(f"{PREFIX}settled:state", "most_bytes", 25_000)
    settle(inbox, range(11, 21), padding=5000)

    assert bodies(client) == {key_of(number) for number in range(17, 21)}
    assert int(client.hget(f"{PREFIX}settled:state", "bytes")) == sum(
        client.hstrlen(f"{PREFIX}event:body", key) for key in bodies(client)
    )


def test_bodies_may_take_all_of_the_memory_that_is_allowed(
    inbox: Inbox, recent: RecentEvents, client: Client
) -> None:
    begin_to_keep_bodies(recent)
    settle(inbox, range(1, 4))
    taken = int(client.hget(f"{PREFIX}settled:state", "bytes"))
    client.hset(f"{PREFIX}settled:state", "most_bytes", taken)
    inbox.accept(event(9, customer="cus_9"))
    inbox.discard("owner", keys_of(inbox.claim("owner")))

    assert bodies(client) == {"evt_2", "evt_3", "evt_9"}
    assert int(client.hget(f"{PREFIX}settled:state", "bytes")) == taken


def test_no_more_than_so_many_settlements_are_remembered_however_new(
    recent: RecentEvents, client: Client
) -> None:
    at = round(recent.survey().at.timestamp() * 1000)
    for first in range(0, 200_003, 20_000):
        numbers = range(first, min(first + 20_000, 200_003))
        client.rpush(f"{PREFIX}settled", *(f"{at} {number} evt_{number}" for number in numbers))

    begin_to_keep_bodies(recent)

    assert client.llen(f"{PREFIX}settled") == 200_000
    assert client.lindex(f"{PREFIX}settled", 0) == b"%d 3 evt_3" % at


def test_bodies_are_given_up_when_memory_is_short(
    inbox: Inbox, recent: RecentEvents, client: Client
) -> None:
    begin_to_keep_bodies(recent)
    settle(inbox, range(1, 4))
    most = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.5))
    try:
        recent.confirm(recent.survey(), "epoch")
    finally:
        client.config_set("maxmemory", most)

    assert bodies(client) == set()
    assert client.hget(f"{PREFIX}settled:state", "bytes") == b"0"


def test_the_body_of_an_event_that_came_again_is_not_dropped(
    inbox: Inbox, recent: RecentEvents, client: Client
) -> None:
    begin_to_keep_bodies(recent)
    settle(inbox, range(1, 2))
    inbox.drop_done_markers()
    assert inbox.accept(event(1)).status == "accepted"
    forget_times(client, older_by_seconds=61)
    recent.confirm(recent.survey(), "epoch")

    assert keys_of(inbox.claim("owner")) == ["evt_1"]


def test_a_settled_event_whose_body_is_kept_is_absent(inbox: Inbox, recent: RecentEvents) -> None:
    begin_to_keep_bodies(recent)
    settle(inbox, range(1, 2))

    (peeked,) = inbox.peek(["evt_1"])

    assert (peeked.state, peeked.body) == ("absent", b"")


def test_events_since_a_time_enter_the_inbox_again_with_their_bodies(
    inbox: Inbox, recent: RecentEvents, client: Client
) -> None:
    begin_to_keep_bodies(recent)
    settle(inbox, range(1, 4))
    forget_times(client, older_by_seconds=10)
    settle(inbox, range(4, 6))
    inbox.requeue(event(6))
    assert claim_and_finish_all(inbox) == ["evt_6"]

    client.delete(f"{PREFIX}drainers")
    entered, wakes = recent.requeue_recent(recent.settled()[3].left_at)

    assert (entered, len(wakes)) == (3, 1)
    entries = inbox.claim("owner", wake=wakes[0]).entries
    assert {(each.key, each.lane) for each in entries} == {
        ("evt_4", Lane.LIVE),
        ("evt_5", Lane.LIVE),
        ("evt_6", Lane.REPLAY),
    }
    assert event(4, customer="cus_4").body in {each.body for each in entries}
    inbox.finish("owner", settled(each.key for each in entries))
    assert bodies(client) == {key_of(number) for number in range(1, 7)}


def test_an_event_requeued_is_found_by_a_duplicate(inbox: Inbox, recent: RecentEvents) -> None:
    begin_to_keep_bodies(recent)
    settle(inbox, range(1, 2))
    recent.requeue_recent(recent.settled()[0].left_at)

    again = inbox.accept(event(1, customer="cus_1"))

    assert (again.status, again.result) == ("duplicate", None)


def test_markers_of_another_epoch_are_void(inbox: Inbox, recent: RecentEvents) -> None:
    settle(inbox, range(1, 2))
    assert inbox.accept(event(1)).status == "duplicate"
    recent.void_done_markers("another")

    assert inbox.accept(event(1)).status == "accepted"


def test_a_marker_that_comes_late_with_the_old_epoch_is_void(
    inbox: Inbox, recent: RecentEvents
) -> None:
    inbox.accept(event(1))
    claim = inbox.claim("slow")
    recent.void_done_markers("another")
    inbox.finish("slow", settled(keys_of(claim), epoch="old"))

    assert inbox.accept(event(1)).status == "accepted"


def test_what_was_checked_is_forgotten_and_what_is_present_stays(
    inbox: Inbox, recent: RecentEvents
) -> None:
    settle(inbox, range(1, 5))
    checked = recent.settled()
    settle(inbox, range(5, 6))

    recent.forget("another", checked, [checked[0], checked[1]])

    assert [each.event_id for each in recent.settled()] == ["evt_1", "evt_2", "evt_5"]
    recent.forget("another", checked, [])
    assert [each.event_id for each in recent.settled()] == ["evt_1", "evt_2", "evt_5"]


def test_a_process_notices_that_redis_counts_less_than_it_gave(
    inbox: Inbox, recent: RecentEvents, client: Client
) -> None:
    other = Inbox(client)
    for number in range(1, 11):
        assert inbox.accept(event(number)).lost is None
    assert other.accept(event(11)).lost is None
    client.hset(f"{PREFIX}counters", "accepted", 6)

    lost = inbox.accept(event(20)).lost

    assert lost is not None
    assert (lost.first, lost.last, lost.open) == (7, 10, True)
    assert other.accept(event(21)).lost is None, "it is the same loss"
    (known,) = recent.lost_accepts()
    assert (known.first, known.last) == (7, 11), "the other process knows of one more"
    assert recent.survey().inbox_epoch != known.inbox_epoch
    assert inbox.accept(event(22)).lost is None


@pytest.mark.parametrize(("counted", "lost"), [(9, True), (10, False), (11, False)])
def test_a_duplicate_shows_it_as_well_and_an_equal_number_is_no_loss(
    inbox: Inbox, client: Client, *, counted: int, lost: bool
) -> None:
    for number in range(1, 11):
        inbox.accept(event(number))
    client.hset(f"{PREFIX}counters", "accepted", counted)

    assert (inbox.accept(event(1)).lost is not None) is lost


def test_a_number_given_a_second_time_shows_a_loss(inbox: Inbox, client: Client) -> None:
    for number in range(1, 11):
        inbox.accept(event(number))
    client.hset(f"{PREFIX}counters", "accepted", 9)

    lost = inbox.accept(event(11)).lost

    assert lost is not None
    assert (lost.first, lost.last) == (10, 10)


def test_a_flushed_redis_is_another_data_set(
    inbox: Inbox, recent: RecentEvents, client: Client
) -> None:
    inbox.accept(event(1))
    before = recent.survey().inbox_epoch
    client.flushall()

    lost = inbox.accept(event(2)).lost

    assert lost is not None
    assert (lost.inbox_epoch, lost.first, lost.last) == (before, 0, 1)
    assert recent.survey().inbox_epoch != before
    assert recent.close_losses() == 1
    assert [each.open for each in recent.lost_accepts()] == [False]
    assert recent.close_losses() == 0
    assert inbox.accept(event(3)).lost is None


def test_a_new_process_has_nothing_to_compare(inbox: Inbox, client: Client) -> None:
    inbox.accept(event(1))
    client.hset(f"{PREFIX}counters", "accepted", 0)

    assert Inbox(client).accept(event(2)).lost is None


def test_all_of_it_works_on_a_full_server(
    inbox: Inbox, recent: RecentEvents, client: Client
) -> None:
    begin_to_keep_bodies(recent)
    settle(inbox, range(1, 4))
    survey = recent.survey()
    most = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    try:
        assert recent.survey().newest_accept == 3
        recent.compare(survey.inbox_epoch, 9, counted=3)
        recent.forget("another", recent.settled(), [])
        assert recent.requeue_recent(survey.newest[0].left_at)[0] == 3
        recent.confirm(survey, "another")
        assert recent.close_losses() == 1
    finally:
        client.config_set("maxmemory", most)
