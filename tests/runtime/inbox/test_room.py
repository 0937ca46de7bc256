"""Measure the room of an inbox in a real Redis, and how fast it fills."""

from math import inf

import pytest

from runtime.inbox.inbox import Inbox
from runtime.inbox.room import FULL_AT_PERCENT, InboxRoom, RoomMeasure
from runtime.time_limits import GROWTH_SPAN
from tests.runtime.inbox.entry_builders import Client, claim_and_finish_all, event

pytestmark = pytest.mark.servers

SIZES = "paidup:sizes"
LIMIT = 10_000


@pytest.fixture
def measure(client: Client) -> RoomMeasure:
    return RoomMeasure(client, limit=LIMIT)


def accept(inbox: Inbox, numbers: range, *, padding: int = 3000) -> None:
    for number in numbers:
        inbox.accept(event(number, customer=f"cus_{number % 50}", padding=padding))


def noted(client: Client, *, seconds_ago: float, events: int) -> None:
    seconds, micros = client.time()
    client.rpush(SIZES, f"{round((seconds - seconds_ago) * 1000 + micros / 1000)} {events}")


def test_the_bytes_of_an_event_are_those_by_which_redis_grew(
    client: Client, inbox: Inbox, measure: RoomMeasure
) -> None:
    accept(inbox, range(200))
    before = client.info("memory")["used_memory"]
    accept(inbox, range(200, 2200))

    grown = (client.info("memory")["used_memory"] - before) / 2000
    assert measure.read().bytes_each == pytest.approx(grown, rel=0.2)


def test_the_room_ends_where_ingest_refuses_events(
    client: Client, inbox: Inbox, measure: RoomMeasure
) -> None:
    accept(inbox, range(10))

    room = measure.read()

    memory = client.info("memory")
    most = memory["maxmemory"] * FULL_AT_PERCENT // 100
    assert room.bytes_left is not None
    assert room.bytes_left == pytest.approx(most - memory["used_memory"], rel=0.05)
    assert room.events_left == min(LIMIT - 10, room.bytes_left // room.bytes_each)


def test_without_maxmemory_the_limit_of_events_is_the_room(
    client: Client, inbox: Inbox, measure: RoomMeasure
) -> None:
    accept(inbox, range(10))
    before = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 0)
    try:
        room = measure.read()
    finally:
        client.config_set("maxmemory", before)

    assert (room.bytes_left, room.events_left) == (None, LIMIT - 10)


def test_an_empty_inbox_takes_nothing_and_is_not_filling(measure: RoomMeasure) -> None:
    room = measure.note()

    assert (room.bytes_each, room.events_left, room.growth) == (0, LIMIT, None)
    assert room.seconds_left == inf


def test_it_grows_by_what_came_since_the_oldest_note_of_the_last_minute(
    client: Client, inbox: Inbox, measure: RoomMeasure
) -> None:
    accept(inbox, range(100))
    noted(client, seconds_ago=GROWTH_SPAN.total_seconds() + 10, events=99)
    noted(client, seconds_ago=50, events=0)
    noted(client, seconds_ago=20, events=90)

    room = measure.note()

    assert room.growth == pytest.approx(100 / 50, rel=0.2)
    assert room.seconds_left == pytest.approx(room.events_left / (100 / 50), rel=0.2)


def test_an_inbox_that_shrinks_is_not_filling(
    client: Client, inbox: Inbox, measure: RoomMeasure
) -> None:
    accept(inbox, range(10))
    noted(client, seconds_ago=20, events=10)
    claim_and_finish_all(inbox)

    room = measure.read()

    assert room.growth is not None
    assert room.growth < 0
    assert room.seconds_left == inf


def test_to_read_notes_nothing(client: Client, measure: RoomMeasure) -> None:
    measure.read()

    assert not client.exists(SIZES)


def test_notes_are_few_and_only_of_the_last_minute(client: Client, measure: RoomMeasure) -> None:
    for seconds_ago in (100, 80, 30):
        noted(client, seconds_ago=seconds_ago, events=1)

    for _ in range(3):
        measure.note()

    assert client.llen(SIZES) == 2


def test_what_was_noted_before_the_last_minute_tells_nothing(
    client: Client, inbox: Inbox, measure: RoomMeasure
) -> None:
    accept(inbox, range(3))
    noted(client, seconds_ago=600, events=1)

    assert measure.read().growth is None


def test_a_second_is_too_short_to_tell_a_rate(
    client: Client, inbox: Inbox, measure: RoomMeasure
) -> None:
    noted(client, seconds_ago=1, events=0)
    accept(inbox, range(3))

    assert measure.read().growth is None


def test_a_note_from_before_the_clock_stepped_back_is_dropped(
    client: Client, measure: RoomMeasure
) -> None:
    noted(client, seconds_ago=-600, events=1)

    assert measure.note().growth is None
    assert client.llen(SIZES) == 1


def test_sizes_are_noted_on_a_full_server(
    client: Client, inbox: Inbox, measure: RoomMeasure
) -> None:
    accept(inbox, range(10))
    before = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    try:
        room = measure.note()
    finally:
        client.config_set("maxmemory", before)

    assert (room.bytes_left, room.events_left, room.seconds_left) == (0, 0, 0)
    assert client.llen(SIZES) == 1


@pytest.mark.parametrize(("growth", "seconds"), [(None, inf), (-3.0, inf), (0.0, inf), (2.5, 40.0)])
def test_the_room_lasts_as_long_as_the_growth_says(growth: float | None, seconds: float) -> None:
    room = InboxRoom(bytes_each=10, bytes_left=1000, events_left=100, growth=growth)

    assert room.seconds_left == seconds
