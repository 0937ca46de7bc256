"""Tell for batches of a few sizes how long an event takes from its claim to its commit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CLASSES: Final = (1, 2, 10, 50)
"""Smallest batches of each class of sizes. An event of a large batch takes less time."""

_MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTime:
    """The time that a worker took for a batch which one transaction settled."""

    events: int
    seconds: float

    def words(self) -> tuple[int, int]:
        """Return the class of its size and the microseconds per event, as the scripts keep them."""
        size = max(least for least in CLASSES if least <= self.events)
        return size, max(round(self.seconds * _MICROS / self.events), 1)


def read_times(answer: Sequence[Sequence[bytes]]) -> tuple[tuple[float, ...], ...]:
    """Return the seconds per event of the last batches, for each class."""
    return tuple(tuple(int(micros) / _MICROS for micros in each) for each in answer)
