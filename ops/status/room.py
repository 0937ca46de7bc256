"""Say how many more events fit into the inbox, and when it is full at the present rate."""

from math import inf

from ops.terminal.formats import format_bytes, format_count, format_duration, format_rate
from ops.terminal.output import Json
from runtime.inbox.room import InboxRoom

REMEDY = "start more workers, or raise Redis' maxmemory"


def describe_room(room: InboxRoom) -> str:
    """Return the room and the end of it, and what to do while the inbox fills."""
    each = f", {format_bytes(room.bytes_each)} each" if room.bytes_each else ""
    left = f" in {format_bytes(room.bytes_left)}" if room.bytes_left is not None else ""
    return f"for {format_count(room.events_left, 'event')} more{left}{each}; {_filling(room)}"


def _filling(room: InboxRoom) -> str:
    if room.events_left == 0:
        return f"it is full, and ingest answers 503: {REMEDY}"
    if room.growth is None:
        return "how fast it fills is known once ingest has run for some seconds"
    if room.growth <= 0:
        return "it is not filling"
    until = format_duration(room.seconds_left)
    growth = format_rate(room.growth)
    return f"it grows by {growth} and is full in {until}, then ingest answers 503: {REMEDY}"


def room_document(room: InboxRoom) -> dict[str, Json]:
    """Return the same as JSON values; ``full_in_seconds`` is null if it is not filling."""
    return {
        "bytes_per_event": room.bytes_each,
        "bytes_left": room.bytes_left,
        "events_left": room.events_left,
        "growth_per_second": None if room.growth is None else round(room.growth, 2),
        "full_in_seconds": round(room.seconds_left, 1) if room.seconds_left < inf else None,
    }
