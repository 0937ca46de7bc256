"""Read again what readers of an earlier release read, a few parties at a time.

The supervisor that leads does it in a thread beside the other periodic jobs, until nothing is left.
``paidup rebuild --outdated`` does the same by hand. Parties that an event touches meanwhile are
read again by the worker that applies the event.
"""

from collections.abc import Callable

import structlog

from runtime.time_limits import FACTS_UPGRADE_LOOK_SECONDS

log = structlog.get_logger(__name__)

ReadNext = Callable[[], int]
"""Read the next parties or events again and return how many; 0 once nothing is left."""


class FactsUpgrade:
    """A periodic job of the supervisor that leads; ``clock`` is monotonic seconds."""

    def __init__(
        self,
        read_next: ReadNext,
        leads: Callable[[], bool],
        clock: Callable[[], float],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._read_next = read_next
        self._leads = leads
        self._clock = clock
        self._is_stopping = is_stopping
        self._next_at = clock()
        self._done = 0

    def run_if_due(self) -> None:
        """Read until nothing is left; an error ends this run, and the next one goes on."""
        if self._clock() < self._next_at:
            return
        while self._leads() and not self._is_stopping():
            read = self._read_next()
            if not read:
                self._end()
                return
            if not self._done:
                log.info("reading again what an earlier release read")
            self._done += read

    def _end(self) -> None:
        self._next_at = self._clock() + FACTS_UPGRADE_LOOK_SECONDS
        if self._done:
            log.info("read again all that an earlier release read", read=self._done)
        self._done = 0
