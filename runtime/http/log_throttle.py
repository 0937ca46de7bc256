"""So many of something each second and no more: a flood of bad requests must not fill a disk."""

import threading
from collections.abc import Callable
from time import monotonic


class Ration:
    """A number of takings for each second; what was refused since the last one is counted."""

    def __init__(self, per_second: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._counting = threading.Lock()
        self._second = 0
        self._taken = 0
        self._left_out = 0

    def take(self) -> bool:
        """Whether this second has one left."""
        with self._counting:
            if (second := int(self._clock())) != self._second:
                self._second, self._taken = second, 0
            granted = self._taken < self._per_second
            self._taken += granted
            self._left_out += not granted
        return granted

    def left_out(self) -> int:
        """How many were refused since somebody last asked."""
        with self._counting:
            count, self._left_out = self._left_out, 0
        return count
