"""Tell how long workers took for batches of all sizes, from the claim to the commit."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Final

CLASSES: Final = (1, 2, 10, 50)
"""Smallest batches of each class of sizes, of which Redis keeps the last ones."""

_MICROS: Final = 1_000_000
_TIME: Final = re.compile(rb"([1-9]\d{0,5}) (\d{1,12}) (\d{1,12}) (\d{1,14})")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTime:
    """The time that a worker took for a batch which one transaction settled."""

    events: int
    seconds: float
    body_bytes: int = 0
    """Of all its events; 0 if that is not known."""
    settled_at: datetime | None = None
    """Redis notes it."""

    def words(self) -> tuple[int, str]:
        """Return the class of its size, and the text that Redis keeps."""
        size = max(least for least in CLASSES if least <= self.events)
        return size, f"{self.events} {round(self.seconds * _MICROS)} {self.body_bytes}"


def read_times(answer: Sequence[Sequence[bytes]]) -> tuple[BatchTime, ...]:
    """Return the times of the last batches of all classes, of each the newest first.

    What cannot be read is left out: it may be of another release, and an error here would keep
    ingest from accepting events.
    """
    matches = map(_TIME.fullmatch, chain.from_iterable(answer))
    return tuple(_read_time(match) for match in matches if match is not None)


def _read_time(match: re.Match[bytes]) -> BatchTime:
    events, micros, body_bytes, settled_ms = match.groups()
    return BatchTime(
        events=int(events),
        seconds=int(micros) / _MICROS,
        body_bytes=int(body_bytes),
        settled_at=datetime.fromtimestamp(int(settled_ms) / 1000, UTC),
    )
