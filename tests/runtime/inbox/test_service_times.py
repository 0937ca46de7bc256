"""Keep in a real Redis how long batches took."""

import pytest

from runtime.inbox.inbox import Inbox
from runtime.inbox.service_times import BatchTime
from tests.runtime.inbox.entry_builders import Client, event, keys_of, settled

pytestmark = pytest.mark.servers

KEPT = 32


def finish(inbox: Inbox, numbers: range, seconds: float | None) -> None:
    for number in numbers:
        inbox.accept(event(number))
    claim = inbox.claim("owner", max_events=len(numbers))
    took = BatchTime(events=len(numbers), seconds=seconds) if seconds else None
    inbox.finish("owner", settled(keys_of(claim)), took)


def known(inbox: Inbox) -> list[tuple[int, float]]:
    return [(time.events, time.seconds) for time in inbox.backlog().batch_times]


def test_the_times_of_batches_of_each_size_are_kept(inbox: Inbox) -> None:
    finish(inbox, range(1), 0.02)
    finish(inbox, range(10, 15), 0.05)
    finish(inbox, range(100, 160), 0.06)

    assert known(inbox) == [(1, 0.02), (5, 0.05), (60, 0.06)]


def test_only_the_last_batches_are_kept_and_those_of_other_sizes_stay(
    client: Client, inbox: Inbox
) -> None:
    finish(inbox, range(1000, 1050), 0.05)
    for number in range(KEPT + 2):
        finish(inbox, range(number, number + 1), 0.01 * (number + 1))

    *singles, large = known(inbox)
    assert (len(singles), singles[0], singles[-1]) == (KEPT, (1, 0.34), (1, 0.03))
    assert large == (50, 0.05)
    assert client.llen("paidup:service:1") == KEPT


def test_a_time_says_when_it_was_measured_and_with_how_many_bytes(inbox: Inbox) -> None:
    before = inbox.backlog().at
    inbox.accept(event(1))
    took = BatchTime(events=1, seconds=0.02, body_bytes=700)
    inbox.finish("owner", settled(keys_of(inbox.claim("owner"))), took)

    after = inbox.backlog()
    (time,) = after.batch_times
    assert time.body_bytes == 700
    assert time.settled_at is not None
    assert before <= time.settled_at <= after.at


@pytest.mark.parametrize(
    "text", ["", "1 10000", "0 10000 9 1", "x y z", "1 2 3 4 5", "1 -5 9 9", "9" * 99]
)
def test_a_time_that_cannot_be_read_is_left_out(client: Client, inbox: Inbox, text: str) -> None:
    """Ingest reads them when it looks whether it may accept events: an error would refuse all."""
    client.lpush("paidup:service:1", text, "1 20000 900 1700000000000")

    assert known(inbox) == [(1, 0.02)]


def test_a_batch_whose_time_is_not_known_leaves_none(inbox: Inbox) -> None:
    finish(inbox, range(1), None)

    assert known(inbox) == []


def test_who_no_longer_holds_the_events_leaves_no_time(inbox: Inbox) -> None:
    inbox.accept(event(1))
    inbox.claim("heir")

    inbox.finish("zombie", settled(["evt_1"]), BatchTime(events=1, seconds=9.0))

    assert known(inbox) == []


def test_the_last_settled_event_tells_when_it_was_settled(inbox: Inbox) -> None:
    assert inbox.backlog().settled_at is None
    before = inbox.backlog().at
    finish(inbox, range(1), None)

    after = inbox.backlog()
    assert after.settled_at is not None
    assert before <= after.settled_at <= after.at


@pytest.mark.parametrize(
    ("events", "size"), [(1, 1), (2, 2), (9, 2), (10, 10), (49, 10), (50, 50), (200, 50)]
)
def test_a_batch_belongs_to_the_largest_class_that_it_reaches(events: int, size: int) -> None:
    assert BatchTime(events=events, seconds=0.1).words() == (size, f"{events} 100000 0")
