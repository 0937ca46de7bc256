"""Announce to applications access that ends within a week.

The supervisor that leads does it, in the thread of the jobs that may wait for PostgreSQL.
"""

from collections.abc import Callable

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from runtime.failures.classify import classify
from runtime.ledger.maintenance.ending_soon import announce_ending_soon
from runtime.time_limits import ENDING_SOON_SECONDS

log = structlog.get_logger(__name__)

MAX_ANNOUNCED = 200
"""In one transaction; if so many were found, the next ones follow at once."""


class EndingSoon:
    """A periodic job; ``clock`` is monotonic seconds."""

    def __init__(
        self, engine: Engine, leads: Callable[[], bool], clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._leads = leads
        self._clock = clock
        self._not_before = float("-inf")

    def announce(self) -> None:
        """Announce one batch; the next one follows in a minute, or at once if this one was full."""
        if not self._leads() or self._clock() < self._not_before:
            return
        announced = 0
        try:
            announced = announce_ending_soon(self._engine, limit=MAX_ANNOUNCED)
        except SQLAlchemyError as error:
            failure = classify(error)
            log.warning(
                "access that ends soon was not announced",
                error_type=failure.error_type,
                reason=failure.reason,
            )
        if announced < MAX_ANNOUNCED:
            self._not_before = self._clock() + ENDING_SOON_SECONDS
