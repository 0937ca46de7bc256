from dataclasses import replace

from ops.status.room import describe_room, room_document
from runtime.inbox.room import InboxRoom

FILLING = InboxRoom(bytes_each=4813, bytes_left=3 * 1024**2, events_left=600, growth=0.5)
SHRINKING = InboxRoom(bytes_each=4813, bytes_left=3 * 1024**2, events_left=600, growth=-7.25)
UNKNOWN = InboxRoom(bytes_each=0, bytes_left=None, events_left=5_000_000, growth=None)


def test_an_inbox_that_fills_says_when_it_is_full_and_what_happens_then() -> None:
    says = describe_room(FILLING)

    assert says == (
        "for 600 events more in 3.0 MiB, 4.7 KiB each; it grows by 0.5/s and is full in 20 min,"
        " then ingest answers 503: start more workers, or raise Redis' maxmemory"
    )


def test_an_inbox_that_shrinks_says_that_it_is_not_filling() -> None:
    assert describe_room(SHRINKING).endswith("4.7 KiB each; it is not filling")


def test_a_full_inbox_says_so_though_it_grows_no_more() -> None:
    says = describe_room(replace(SHRINKING, events_left=0))

    assert "it is full, and ingest answers 503: start more workers" in says


def test_a_rate_that_nobody_noted_is_not_made_up() -> None:
    says = describe_room(UNKNOWN)

    assert says.startswith("for 5000000 events more; how fast it fills is known once")


def test_json_has_the_same_numbers() -> None:
    assert room_document(FILLING) == {
        "bytes_per_event": 4813,
        "bytes_left": 3 * 1024**2,
        "events_left": 600,
        "growth_per_second": 0.5,
        "full_in_seconds": 1200.0,
    }
    assert room_document(SHRINKING)["full_in_seconds"] is None
    assert room_document(UNKNOWN)["growth_per_second"] is None
