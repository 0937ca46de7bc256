"""Publishes entitlement changes from a thread of the supervisor that leads.

Beside the rounds and not one of them: whatever becomes of it, events are swept, woken and settled
as before, and the changes wait where they are.
"""

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from runtime.failures.classify import Unexpected, classify

log = structlog.get_logger(__name__)

PERIOD_SECONDS: Final = 0.2
REST_SECONDS: Final = 1.0
"""After a round that failed."""

SHARE: Final = 4
MOST_REST_SECONDS: Final = 2.0
"""A round that took long is followed by a longer rest, so that a database in need has one."""


class Relay(Protocol):
    """What does the work, as far as the thread knows it."""

    def round(self) -> None:
        """Publish what can be published now."""
        ...


class Relaying(threading.Thread):
    """Goes round for as long as ``leads`` says that it is this supervisor's turn."""

    def __init__(
        self, relay: Relay, leads: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(name="relaying", daemon=True)
        self._relay = relay
        self._leads = leads
        self._clock = clock
        self._stop_asked = threading.Event()
        self._failing = False

    def run(self) -> None:
        """The thread's body; the last round is after the stop, for what was settled last."""
        while not self._stop_asked.wait(self._round()):
            pass
        self._round()

    def ask_to_stop(self) -> None:
        """Go round once more, and end."""
        self._stop_asked.set()

    def _round(self) -> float:
        """How long to rest after it."""
        if not self._leads():
            return PERIOD_SECONDS
        started = self._clock()
        try:
            self._relay.round()
        except Exception as error:  # noqa: BLE001 - settling must not stop for it, whatever it is
            self._tell(error)
            return REST_SECONDS
        if self._failing:
            log.info("entitlement changes are published again")
        self._failing = False
        taken = self._clock() - started
        return min(max(PERIOD_SECONDS, SHARE * taken), MOST_REST_SECONDS)

    def _tell(self, error: Exception) -> None:
        failure = classify(error)
        if not self._failing:
            log.warning(
                "entitlement changes wait",
                error_type=failure.error_type,
                why=failure.reason,
                exc_info=error if isinstance(failure, Unexpected) else None,
            )
        self._failing = True
