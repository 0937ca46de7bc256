"""Decide when the breaker may close: probe PostgreSQL with writes that leave no row.

A probe that only reads would call a read-only database healthy, and one that does not commit would
do so with a primary whose commits wait for a synchronous standby. One that writes to a single table
would overlook a missing right on another one. Every event would fail again. So a probe commits a
row and deletes it, and then applies built-in events without a COMMIT.
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
from runtime.failures.canary import Canary, concerns_every_event
from runtime.failures.classify import Infrastructure, classify
from runtime.inbox.entries import Breaker
from runtime.time_limits import REOPEN_SECONDS
from workers.ports import BreakerInbox

log = structlog.get_logger(__name__)

SAY_AGAIN_SECONDS: Final = 60.0
"""The pause between two log lines while workers wait for PostgreSQL."""


ProbeEvents = Callable[[bool], Infrastructure | None]
"""Return what keeps events from being applied, or None.

The argument says that the breaker opened for a fault of the surroundings.
"""


def probe_events(engine: Engine, of_surroundings: bool) -> Infrastructure | None:  # noqa: FBT001
    """Return what keeps events from being applied, or None; leave no trace.

    ``engine`` is one of ``make_probe_engine``.
    """
    engine.dispose()
    try:
        return probe_commit(engine) or Canary(engine).fault(of_surroundings=of_surroundings)
    finally:
        engine.dispose()


def probe_commit(engine: Engine) -> Infrastructure | None:
    """Return the failure that keeps the server from committing writes, or None."""
    key = f"probe:{uuid4().hex}"
    try:
        with engine.connect() as connection:
            connection.execute(sa.insert(Membership).values(object_key=key, party=key))
            connection.execute(sa.delete(Membership).where(Membership.object_key == key))
            connection.commit()
    except Exception as error:  # noqa: BLE001 - classify sorts them
        failure = classify(error)
        return failure if isinstance(failure, Infrastructure) else None
    return None


class DatabaseProbe:
    """A periodic job of the supervisor that leads; ``clock`` is monotonic seconds."""

    def __init__(
        self,
        inbox: BreakerInbox,
        probe: ProbeEvents,
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
        if (breaker := self._inbox.breaker()) is None:
            return
        if (failure := self._probe(concerns_every_event(breaker.reason))) is not None:
            self._inbox.open_breaker(failure.reason, REOPEN_SECONDS)
            self._say(failure, breaker)
            return
        self._inbox.close_breaker()
        self._say_at = float("-inf")
        log.info("events can be applied again: workers continue")

    def _say(self, failure: Infrastructure, breaker: Breaker) -> None:
        if self._clock() < self._say_at:
            return
        self._say_at = self._clock() + SAY_AGAIN_SECONDS
        since = breaker.since.isoformat() if breaker.since else None
        log.warning(
            "workers wait for PostgreSQL",
            since=since,
            error_type=failure.error_type,
            reason=failure.reason,
        )
