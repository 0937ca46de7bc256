"""Notice a pool that is alive but claims nothing while events are due.

Whenever a drainer asks for a claim it touches a file that its supervisor reads. So neither Redis
nor another machine decides which pool is stuck.
"""

from collections.abc import Callable
from dataclasses import dataclass

from runtime.time_limits import POOL_STUCK_SECONDS


@dataclass(slots=True)
class Watchdog:
    """Measures how long events were due without a new pulse; ``clock`` is monotonic seconds."""

    clock: Callable[[], float]
    patience_seconds: float = POOL_STUCK_SECONDS
    _last_pulse: float = -1.0
    _still_since: float | None = None

    def is_stuck(self, *, due: bool, pulse: float) -> bool:
        """Return True once the pool was still for too long; then measure from the start."""
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
