"""Measure how much room the inbox has, and how long it lasts while more events come than leave.

Ingest notes the number of waiting events every few seconds in Redis. So every process knows by how
many they grew within the last minute, and none has to wait to find out.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

import redis

from runtime.inbox.scripts import Scripts

FULL_AT_PERCENT: Final = 80
"""Ingest refuses events above this use of Redis' ``maxmemory``: the rest is for the workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRoom:
    """The room of the inbox at one moment."""

    bytes_each: int
    """Memory of Redis that one waiting event takes, by samples; 0 if none waits."""
    bytes_left: int | None
    """Memory until ingest refuses events, None without ``maxmemory``."""
    events_left: int
    """Events until ingest refuses more, by memory or by ``PAIDUP_INBOX_LIMIT``."""
    growth: float | None
    """Events by which it grew a second within the last minute; None if that was not noted."""

    @property
    def seconds_left(self) -> float:
        """Seconds until ingest answers 503 if it goes on so: 0 if full, infinite if not filling."""
        if self.events_left == 0:
            return 0.0
        if self.growth is None or self.growth <= 0:
            return inf
        return self.events_left / self.growth


class RoomMeasure:
    """The measurement of the room in Redis."""

    def __init__(self, client: redis.Redis, *, limit: int, prefix: str = "paidup:") -> None:
        """Use a client that answers in bytes; ``limit`` is the number of events that may wait."""
        self._scripts = Scripts(client, prefix)
        self._limit = limit

    def read(self) -> InboxRoom:
        """Return the room now, and change nothing."""
        return self._measure(note=False)

    def note(self) -> InboxRoom:
        """Return the room now, and note the number of events for later calls of any process."""
        return self._measure(note=True)

    def _measure(self, *, note: bool) -> InboxRoom:
        now, events, each, used, most, noted_at, noted = self._scripts.run("room", int(note))
        bytes_left = max(most * FULL_AT_PERCENT // 100 - used, 0) if most else None
        events_left = max(self._limit - events, 0)
        if bytes_left is not None:
            events_left = min(events_left, bytes_left // max(each, 1))
        return InboxRoom(
            bytes_each=each,
            bytes_left=bytes_left,
            events_left=events_left,
            growth=(events - noted) * 1000 / (now - noted_at) if noted_at else None,
        )
