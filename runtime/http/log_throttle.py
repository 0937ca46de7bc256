"""Limit log lines per second, so that a flood of bad requests cannot fill a disk."""

import threading
from collections.abc import Callable
from time import monotonic


class LogThrottle:
    """A number of log lines for each second, and the count of those left out."""

    def __init__(self, per_second: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._counting = threading.Lock()
        self._second = 0
        self._taken = 0
        self._left_out = 0

    def take(self) -> bool:
        """Return True if this second has a line left, and use it up."""
        with self._counting:
            if (second := int(self._clock())) != self._second:
                self._second, self._taken = second, 0
            granted = self._taken < self._per_second
            self._taken += granted
            self._left_out += not granted
        return granted

    def left_out(self) -> int:
        """Return the lines left out since the last call."""
        with self._counting:
            count, self._left_out = self._left_out, 0
        return count
