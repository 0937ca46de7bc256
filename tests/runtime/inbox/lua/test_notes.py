"""Note in a real Redis what has arrived, and tell how many events arrive a second."""

import pytest

from runtime.inbox.inbox import Inbox
from runtime.inbox.room import RoomMeasure
from runtime.time_limits import ARRIVAL_SPAN, GROWTH_SPAN
from tests.runtime.inbox.entry_builders import Client, claim_and_finish_all, event

pytestmark = pytest.mark.servers

ARRIVALS = "paidup:arrivals"
SPAN = ARRIVAL_SPAN.total_seconds()


def noted(client: Client, *, seconds_ago: float, arrived: int) -> None:
    seconds, micros = client.time()
    at = round((seconds - seconds_ago) * 1000 + micros / 1000)
    client.rpush(ARRIVALS, f"{at} {arrived}")


def accept(inbox: Inbox, numbers: range) -> None:
    for number in numbers:
        inbox.accept(event(number))


def test_the_rate_is_that_since_the_youngest_note_that_is_old_enough(
    client: Client, inbox: Inbox
) -> None:
    accept(inbox, range(100))
    noted(client, seconds_ago=50, arrived=0)
    noted(client, seconds_ago=SPAN + 1, arrived=20)
    noted(client, seconds_ago=2, arrived=99)

    assert inbox.backlog().arriving == pytest.approx(80 / (SPAN + 1), rel=0.2)


def test_events_that_left_have_arrived_as_well(client: Client, inbox: Inbox) -> None:
    noted(client, seconds_ago=20, arrived=0)
    accept(inbox, range(10))
    claim_and_finish_all(inbox)

    assert inbox.backlog().arriving == pytest.approx(10 / 20, rel=0.2)


def test_a_replay_arrives_as_well(client: Client, inbox: Inbox) -> None:
    accept(inbox, range(2))
    claim_and_finish_all(inbox)
    noted(client, seconds_ago=20, arrived=2)

    for number in range(2):
        inbox.requeue(event(number))

    assert inbox.backlog().arriving == pytest.approx(2 / 20, rel=0.2)


@pytest.mark.parametrize("seconds_ago", [1.0, GROWTH_SPAN.total_seconds() + 9, -600.0])
def test_a_note_that_is_too_young_too_old_or_ahead_of_the_clock_tells_no_rate(
    client: Client, inbox: Inbox, seconds_ago: float
) -> None:
    accept(inbox, range(3))
    noted(client, seconds_ago=seconds_ago, arrived=0)

    assert inbox.backlog().arriving is None


def test_after_the_clock_stepped_back_older_notes_tell_no_rate(
    client: Client, inbox: Inbox
) -> None:
    accept(inbox, range(3))
    noted(client, seconds_ago=20, arrived=0)
    noted(client, seconds_ago=-30, arrived=2)

    assert inbox.backlog().arriving is None
    inbox.sweep()
    assert inbox.backlog().arriving is None
    assert client.llen(ARRIVALS) == 1


def test_a_redis_that_went_back_has_no_negative_rate(client: Client, inbox: Inbox) -> None:
    noted(client, seconds_ago=20, arrived=1000)

    assert inbox.backlog().arriving == 0


def test_ingest_and_the_leader_both_note_what_has_arrived(client: Client, inbox: Inbox) -> None:
    accept(inbox, range(3))

    inbox.sweep()
    by_leader = client.lrange(ARRIVALS, 0, -1)
    client.delete(ARRIVALS)
    RoomMeasure(client, limit=10).note()

    for notes in (by_leader, client.lrange(ARRIVALS, 0, -1)):
        assert [note.split()[1] for note in notes] == [b"3"]


def test_to_read_the_backlog_notes_nothing(client: Client, inbox: Inbox) -> None:
    inbox.backlog()

    assert not client.exists(ARRIVALS)


def test_notes_are_few_also_if_several_processes_make_them(client: Client, inbox: Inbox) -> None:
    for _ in range(5):
        inbox.sweep()
        RoomMeasure(client, limit=10).note()

    assert client.llen(ARRIVALS) == 1
