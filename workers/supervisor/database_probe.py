"""Decide when the breaker may close: probe PostgreSQL with a write that is rolled back.

A probe that only reads would call a read-only database healthy, and every event would fail again.
Each probe opens its own connection: after a failover, a session that was open before may stay on a
server that is no primary any more.

This runs in a thread of its own, which may wait for PostgreSQL. Nothing else waits for it.
"""

from collections.abc import Callable
from typing import Final
from uuid import uuid4

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Engine

from models.tables import Membership
from runtime.failures.classify import Infrastructure, classify
from runtime.time_limits import REOPEN_SECONDS
from workers.ports import BreakerInbox

log = structlog.get_logger(__name__)

SAY_AGAIN_SECONDS: Final = 60.0
"""The pause between two log lines while workers wait for PostgreSQL."""


def probe_database(engine: Engine) -> Infrastructure | None:
    """Return the failure that keeps the server from taking writes, or None; leave no trace.

    ``engine`` is one of ``make_probe_engine``.
    """
    key = f"probe:{uuid4().hex}"
    try:
        with engine.connect() as connection:
            connection.execute(sa.insert(Membership).values(object_key=key, party=key))
            connection.rollback()
    except Exception as error:  # noqa: BLE001 - classify sorts them
        failure = classify(error)
        return failure if isinstance(failure, Infrastructure) else None
    return None


class DatabaseProbe:
    """A periodic job of the supervisor that leads; ``clock`` is monotonic seconds."""

    def __init__(
        self,
        inbox: BreakerInbox,
        probe: Callable[[], Infrastructure | None],
        leads: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._inbox = inbox
        self._probe = probe
        self._leads = leads
        self._clock = clock
        self._say_at = float("-inf")

    def run_if_open(self) -> None:
        """While the breaker is open, probe once, and close it or renew its time."""
        if not self._leads() or not self._inbox.breaker_open():
            return
        if (failure := self._probe()) is not None:
            self._inbox.open_breaker(failure.reason, REOPEN_SECONDS)
            self._say(failure)
            return
        self._inbox.close_breaker()
        self._say_at = float("-inf")
        log.info("PostgreSQL is available again: workers continue")

    def _say(self, failure: Infrastructure) -> None:
        if self._clock() < self._say_at:
            return
        self._say_at = self._clock() + SAY_AGAIN_SECONDS
        breaker = self._inbox.breaker()
        since = breaker.since.isoformat() if breaker and breaker.since else None
        log.warning(
            "workers wait for PostgreSQL",
            since=since,
            error_type=failure.error_type,
            reason=failure.reason,
        )
