"""End time-limited access: grace periods, cancelled periods, provisional access.

It needs no event, so the supervisor that leads does it, in a thread beside the other periodic
jobs: a slow database must not hold up sweeping. ``paidup expire`` does the same by hand.
"""

from collections.abc import Callable
from typing import Final

import structlog

from runtime.failures.classify import Unexpected, classify
from runtime.time_limits import ACCESS_EXPIRY_SECONDS

log = structlog.get_logger(__name__)

MAX_PARTIES: Final = 200
"""In one transaction; if so many were due, the next one follows at once."""

ProjectDue = Callable[[int], int]
"""Recompute at most so many parties whose time has come; return how many there were."""


class AccessExpiry:
    """A periodic job of the supervisor that leads; ``clock`` is monotonic seconds."""

    def __init__(
        self,
        project_due: ProjectDue,
        leads: Callable[[], bool],
        clock: Callable[[], float],
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._project_due = project_due
        self._leads = leads
        self._clock = clock
        self._is_stopping = is_stopping
        self._next_at = clock()
        self._failing = False

    def run_if_due(self) -> None:
        """Run every 20 s; an error is logged once, and the next run tries again."""
        if not self._leads() or self._clock() < self._next_at:
            return
        self._next_at = self._clock() + ACCESS_EXPIRY_SECONDS
        try:
            while self._project_due(MAX_PARTIES) == MAX_PARTIES and self._may_go_on():
                pass
        except Exception as error:  # noqa: BLE001 - no error here may stop the worker
            self._report(error)
            return
        if self._failing:
            log.info("time-limited access ends on time again")
        self._failing = False

    def _may_go_on(self) -> bool:
        return self._leads() and not self._is_stopping()

    def _report(self, error: Exception) -> None:
        failure = classify(error)
        if not self._failing:
            log.warning(
                "time-limited access could not be ended",
                error_type=failure.error_type,
                reason=failure.reason,
                exc_info=error if isinstance(failure, Unexpected) else None,
            )
        self._failing = True
