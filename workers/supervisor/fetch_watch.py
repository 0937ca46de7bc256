"""Sees that events which wait for Stripe's API are taken by somebody.

Every supervisor with a key does it, whoever leads: a leader without one could wake nobody. The
script that owes wake-ups owes each only once.
"""

from collections.abc import Callable
from typing import Final

from runtime.broker import Publish
from runtime.inbox.entries import Backlog
from runtime.inbox.fetch_lane import FetchLane
from workers.supervisor.watchdog import Watchdog

PATIENCE_SECONDS: Final = 90.0
"""Longer than any errand: while all who may ask wait for Stripe, nobody comes for more."""


class FetchGuard:
    """One look a second; ``clock`` is monotonic seconds."""

    def __init__(self, lane: FetchLane, publish: Publish, clock: Callable[[], float]) -> None:
        self._lane = lane
        self._publish = publish
        self._watchdog = Watchdog(clock, PATIENCE_SECONDS)
        self.is_stuck = False

    def look(self, backlog: Backlog) -> None:
        """Wake whom the lane owes a wake-up; notice if nobody ever comes."""
        if (wake := self._lane.wake()) is not None and not self._publish(wake):
            self._lane.leave(wake, hand_on=False)
        rests = backlog.breaker is not None or backlog.fetch_breaker is not None
        asked_at = self._lane.asked_at()
        pulse = asked_at.timestamp() if asked_at else 0.0
        if self._watchdog.is_stuck(due=backlog.fetch_due > 0 and not rests, pulse=pulse):
            self.is_stuck = True
