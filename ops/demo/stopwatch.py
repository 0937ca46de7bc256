"""The time of a run in parts of whole tenths of a second that add up to the total."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class Stopwatch:
    """Runs from its creation; every moment belongs to the part that ends next."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._begun = monotonic()
        self._tenths: dict[str, int] = {}

    @property
    def seconds(self) -> float:
        """The seconds from the creation until now, not rounded."""
        return self._monotonic() - self._begun

    def end(self, part: str) -> None:
        """End the part, which gets all the time since the part before it."""
        self._tenths[part] = round(self.seconds * 10) - sum(self._tenths.values())

    @contextmanager
    def part(self, part: str) -> Iterator[None]:
        """End the part when the block ends, also by an exception."""
        try:
            yield
        finally:
            self.end(part)

    @property
    def parts(self) -> Mapping[str, float]:
        """The seconds of every ended part, in order, in tenths."""
        return {part: tenths / 10 for part, tenths in self._tenths.items()}

    @property
    def total(self) -> float:
        """The sum of the parts, in seconds."""
        return sum(self._tenths.values()) / 10
