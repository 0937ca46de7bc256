"""Notices a pool that lives but does nothing while events are due, which no exit code tells.

A pool moves whenever one of its drainers asks for a claim. It then touches a file that its
supervisor reads, so neither Redis nor another machine has a word in who is stuck.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

STUCK_SECONDS: Final = 30.0
"""Longer than any claim waits when all is well: locks give up after 5 s, statements after 10 s."""


@dataclass(slots=True)
class Watchdog:
    """Counts how long events were due while the pool did not move; ``clock`` is monotonic."""

    clock: Callable[[], float]
    patience_seconds: float = STUCK_SECONDS
    _last_pulse: float = -1.0
    _still_since: float | None = None

    def is_stuck(self, *, due: bool, pulse: float) -> bool:
        """Whether the pool has now been still for too long; asking again starts a new count."""
        if not due or pulse != self._last_pulse:
            self._last_pulse = pulse
            self._still_since = None
            return False
        if self._still_since is None:
            self._still_since = self.clock()
        if self.clock() - self._still_since < self.patience_seconds:
            return False
        self._still_since = None
        return True
