"""Tell how long workers took for batches of all sizes, from the claim to the commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Final

CLASSES: Final = (1, 2, 10, 50)
"""Smallest batches of each class of sizes, of which Redis keeps the last ones."""

_MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTime:
    """The time that a worker took for a batch which one transaction settled."""

    events: int
    seconds: float
    settled_at: datetime | None = None
    """Redis notes it."""

    def words(self) -> tuple[int, str]:
        """Return the class of its size, and the text that Redis keeps."""
        size = max(least for least in CLASSES if least <= self.events)
        return size, f"{self.events} {round(self.seconds * _MICROS)}"


def read_times(answer: Sequence[Sequence[bytes]]) -> tuple[BatchTime, ...]:
    """Return the times of the last batches of all classes, of each the newest first."""
    return tuple(_read_time(text) for text in chain.from_iterable(answer))


def _read_time(text: bytes) -> BatchTime:
    events, micros, settled_ms = text.split()
    return BatchTime(
        events=int(events),
        seconds=int(micros) / _MICROS,
        settled_at=datetime.fromtimestamp(int(settled_ms) / 1000, UTC),
    )
