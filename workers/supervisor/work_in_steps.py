"""Work that is done in steps until nothing is left, each a transaction of its own.

The supervisor that leads does two such works, each in a thread beside the other periodic jobs:

- read again what readers of an earlier release read, a few parties at a time
  (``paidup rebuild --outdated`` does the same by hand; a party that an event touches meanwhile is
  read again by the worker that applies the event);
- bring a change that concerns everything of a party to its archives.

There is no pause between two steps. A step leaves out a party whose lock is held or waited for, and
PostgreSQL gives a lock to those who wait in the order in which they came, so an event of the party
waits for one step at most.
"""

from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

DoNext = Callable[[], int | None]
"""Do the next step and return how much it did; 0 once nothing is left, None if it has to wait."""


class WorkInSteps:
    """A periodic job of the supervisor that leads; ``clock`` is monotonic seconds.

    Once nothing is left, or it has to wait, it looks again after ``look_seconds``. It logs
    ``began`` with the first step and ``ended`` after the last one.
    """

    def __init__(
        self,
        do_next: DoNext,
        leads: Callable[[], bool],
        clock: Callable[[], float],
        is_stopping: Callable[[], bool],
        *,
        look_seconds: float,
        began: str,
        ended: str,
    ) -> None:
        self._do_next = do_next
        self._leads = leads
        self._clock = clock
        self._is_stopping = is_stopping
        self._look_seconds = look_seconds
        self._began = began
        self._ended = ended
        self._next_at = clock()
        self._done = 0

    def run_if_due(self) -> None:
        """Do steps until none is possible; an error ends this run, and the next one goes on."""
        if self._clock() < self._next_at:
            return
        while self._leads() and not self._is_stopping():
            done = self._do_next()
            if not done:
                self._next_at = self._clock() + self._look_seconds
                if done == 0:
                    self._end()
                return
            if not self._done:
                log.info(self._began)
            self._done += done

    def _end(self) -> None:
        if self._done:
            log.info(self._ended, done=self._done)
        self._done = 0
