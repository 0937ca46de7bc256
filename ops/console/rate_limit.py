"""Limit a rate by a bucket of tickets that refills steadily.

Buckets are kept in the process: two consoles give a token twice the rate.
"""

import threading
from collections.abc import Callable


class Bucket:
    """Holds ``size`` tickets, by default those of one second, so that a burst of that size passes.

    ``rate`` is the number of tickets that come in a second.
    """

    def __init__(
        self, rate: float, *, clock: Callable[[], float], size: float | None = None
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._size = rate if size is None else size
        self._tickets = float(self._size)
        self._filled_at = clock()
        self._turn = threading.Lock()

    def take(self) -> float:
        """Take a ticket; return 0 if there was one, else the seconds until there is one."""
        with self._turn:
            now = self._clock()
            came = (now - self._filled_at) * self._rate
            self._tickets, self._filled_at = min(self._size, self._tickets + came), now
            if self._tickets < 1:
                return (1 - self._tickets) / self._rate
            self._tickets -= 1
            return 0.0
