"""Check that events in the fetch lane are claimed.

Every supervisor with an API key does it, not only the leader: a leader without a key has no
fetchers to wake. The Redis script hands out each wake-up once.
"""

from collections.abc import Callable

from runtime.broker import Publish
from runtime.inbox.entries import Backlog
from runtime.inbox.fetch_lane import FetchLane
from runtime.time_limits import FETCH_STUCK_SECONDS
from workers.supervisor.watchdog import Watchdog


class FetchWatch:
    """A check once a second; ``clock`` is monotonic seconds."""

    def __init__(self, lane: FetchLane, publish: Publish, clock: Callable[[], float]) -> None:
        self._lane = lane
        self._publish = publish
        self._watchdog = Watchdog(clock, FETCH_STUCK_SECONDS)
        self.is_stuck = False

    def check(self, backlog: Backlog) -> None:
        """Publish the wake-up that the lane owes; set ``is_stuck`` if no fetcher ever claims."""
        if (wake := self._lane.wake()) is not None and not self._publish(wake):
            self._lane.leave(wake, hand_on=False)
        paused = backlog.breaker is not None or backlog.fetch_breaker is not None
        asked_at = self._lane.asked_at()
        pulse = asked_at.timestamp() if asked_at else 0.0
        if self._watchdog.is_stuck(due=backlog.fetch_due > 0 and not paused, pulse=pulse):
            self.is_stuck = True
