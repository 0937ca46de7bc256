"""How much each token may ask: a bucket of tickets that fills up again at a steady rate.

Buckets are kept in the process that answers: two consoles give a token twice as much.
"""

import math
import threading
from collections.abc import Callable, Iterable


class Bucket:
    """Holds a second's worth of tickets, so that a burst of that size passes."""

    def __init__(self, rate: int, *, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._tickets = float(rate)
        self._filled_at = clock()
        self._turn = threading.Lock()

    def take(self) -> float:
        """Take a ticket: 0 when there was one, else in how many seconds there will be."""
        with self._turn:
            now = self._clock()
            came = (now - self._filled_at) * self._rate
            self._tickets, self._filled_at = min(self._rate, self._tickets + came), now
            if self._tickets < 1:
                return (1 - self._tickets) / self._rate
            self._tickets -= 1
            return 0.0


class Limits:
    """A bucket for each name."""

    def __init__(self, names: Iterable[str], rate: int, *, clock: Callable[[], float]) -> None:
        self._buckets = {name: Bucket(rate, clock=clock) for name in names}

    def wait_of(self, name: str) -> int:
        """0 if the request may be served, else after how many whole seconds to come back."""
        return math.ceil(self._buckets[name].take())
