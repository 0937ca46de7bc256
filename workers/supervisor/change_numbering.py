"""Publish entitlement changes from a thread of the supervisor that leads.

The thread is separate from the periodic jobs. If it fails, events are still swept, woken and
settled, and the changes wait in the database.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from runtime.failures.classify import Unexpected, classify
from runtime.time_limits import (
    MAX_NUMBERING_REST_SECONDS,
    NUMBERING_FAILED_SECONDS,
    NUMBERING_SECONDS,
)

log = structlog.get_logger(__name__)

SHARE: Final = 4
"""The pause is so many times as long as the run took: a slow database gets rest."""


class ChangeNumbering(threading.Thread):
    """A thread that calls ``number_waiting`` for as long as this supervisor leads."""

    def __init__(
        self,
        number_waiting: Callable[[], None],
        leads: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="change-numbering", daemon=True)
        self._number_waiting = number_waiting
        self._leads = leads
        self._clock = clock
        self._stop_asked = threading.Event()
        self._failing = False

    def run(self) -> None:
        """Publish until a stop, and once more after it, for the events that were settled last."""
        while not self._stop_asked.wait(self._publish()):
            pass
        self._publish()

    def ask_to_stop(self) -> None:
        """Publish once more, then end."""
        self._stop_asked.set()

    def _publish(self) -> float:
        """Publish what waits, and return the seconds to pause."""
        if not self._leads():
            return NUMBERING_SECONDS
        started = self._clock()
        try:
            self._number_waiting()
        except Exception as error:  # noqa: BLE001 - no error here may stop the worker
            self._report(error)
            return NUMBERING_FAILED_SECONDS
        if self._failing:
            log.info("entitlement changes are published again")
        self._failing = False
        taken = self._clock() - started
        return min(max(NUMBERING_SECONDS, SHARE * taken), MAX_NUMBERING_REST_SECONDS)

    def _report(self, error: Exception) -> None:
        failure = classify(error)
        if not self._failing:
            log.warning(
                "entitlement changes are not published",
                error_type=failure.error_type,
                why=failure.reason,
                exc_info=error if isinstance(failure, Unexpected) else None,
            )
        self._failing = True
