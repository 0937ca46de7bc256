"""Remove idempotency keys whose time is over, so that their table stays small.

The supervisor that leads does it, in the thread of the jobs that may wait for PostgreSQL. Nothing
depends on it: an expired key that is still there counts as new.
"""

from collections.abc import Callable

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from runtime.failures.classify import classify
from runtime.idempotency import MAX_REMOVED, remove_expired
from runtime.time_limits import EXPIRED_KEYS_SECONDS

log = structlog.get_logger(__name__)


class KeyRemoval:
    """A periodic job; ``clock`` is monotonic seconds."""

    def __init__(
        self, engine: Engine, leads: Callable[[], bool], clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._leads = leads
        self._clock = clock
        self._not_before = float("-inf")

    def remove(self) -> None:
        """Remove one batch; the next one follows in an hour, or at once if this one was full."""
        if not self._leads() or self._clock() < self._not_before:
            return
        try:
            with self._engine.begin() as connection:
                removed = remove_expired(connection)
        except SQLAlchemyError as error:
            removed = 0
            failure = classify(error)
            log.warning(
                "expired idempotency keys not removed",
                error_type=failure.error_type,
                reason=failure.reason,
            )
        if removed < MAX_REMOVED:
            self._not_before = self._clock() + EXPIRED_KEYS_SECONDS
