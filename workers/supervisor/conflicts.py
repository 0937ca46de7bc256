"""Move conflicts to the dead letters as soon as PostgreSQL takes them.

The supervisor that leads does it, in the thread of the jobs that may wait for PostgreSQL.
"""

from collections.abc import Callable

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from runtime.failures.classify import classify
from runtime.failures.conflicts import dead_letter_conflicts
from runtime.time_limits import CONFLICTS_AGAIN_SECONDS
from workers.ports import ConflictQueue

log = structlog.get_logger(__name__)


class ConflictMover:
    """A periodic job; ``clock`` is monotonic seconds."""

    def __init__(
        self,
        inbox: ConflictQueue,
        engine: Engine,
        leads: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._inbox = inbox
        self._engine = engine
        self._leads = leads
        self._clock = clock
        self._not_before = float("-inf")

    def move(self) -> None:
        """Move all conflicts; after an error of PostgreSQL pause, and then try again."""
        if not self._leads() or self._clock() < self._not_before or self._inbox.breaker_open():
            return
        try:
            moved = dead_letter_conflicts(self._inbox, self._engine)
        except SQLAlchemyError as error:
            self._not_before = self._clock() + CONFLICTS_AGAIN_SECONDS
            failure = classify(error)
            log.warning(
                "conflicts not moved to dead letters",
                error_type=failure.error_type,
                reason=failure.reason,
            )
            return
        for key in moved:
            log.critical("two different events have one id: see paidup dead show", key=key)
