"""The state that all processes share: from Redis for each scrape, from PostgreSQL beforehand."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa
from redis.exceptions import RedisError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from models.bulk import APPROVAL_BYPASSED
from models.tables import BulkPlan
from runtime.changes.feed import waiting_seconds
from runtime.data_loss.reports import (
    count_missing,
    count_open_accepts,
    count_open_settlements,
)
from runtime.failures.canary import concerns_every_event, sqlstate_in
from runtime.failures.dead_letters import count_open
from runtime.inbox.api_requests import ApiNumbers
from runtime.inbox.entries import Backlog, Breaker, Lane
from runtime.ledger.maintenance.archive_updates import count_updates
from runtime.ledger.maintenance.ending_soon import count_ended, count_ending_soon
from runtime.ledger.without_grant import count_without_grant
from runtime.reconciling import ComparedPart, read_disagreement
from runtime.sizing.shared import LastNeed, state_of
from runtime.telemetry import SharedState
from runtime.time_limits import DATABASE_STATE_SECONDS, STALE_DATABASE_STATE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """The database's part of a scrape; None where it could not be read."""

    dead_letters: int | None = None
    changes_waiting_seconds: float | None = None
    lost_settlements: int | None = None
    lost_accepts: int | None = None
    lost_settlements_reports: int | None = None
    ending_soon: int | None = None
    ended: int | None = None
    unsold: Mapping[str, int] | None = None
    archive_updates: int | None = None
    archive_updates_seconds: float | None = None
    approvals_bypassed: int | None = None
    reconcile_differences: Mapping[str, int] | None = None
    reconcile_put_in: int | None = None
    reconcile_agreed_at: float | None = None
    reconcile_runs_at: Mapping[str, float] | None = None


def read_database_state(engine: Engine, *, reconciles: bool = False) -> DatabaseState:
    """Return the database's part; an unreachable database is no error.

    ``reconciles`` if the schedule compares with Stripe; if not, an old run is no fault.
    """
    try:
        dead = count_open(engine)
        with engine.connect() as connection:
            updates, updates_seconds = count_updates(connection)
            state = DatabaseState(
                dead_letters=dead,
                changes_waiting_seconds=waiting_seconds(connection),
                lost_settlements=count_missing(connection),
                lost_accepts=count_open_accepts(connection),
                lost_settlements_reports=count_open_settlements(connection),
                ending_soon=count_ending_soon(connection),
                ended=count_ended(connection),
                unsold=count_without_grant(connection),
                archive_updates=updates,
                archive_updates_seconds=updates_seconds,
                approvals_bypassed=_count_bypassed(connection),
            )
            return replace(state, **_comparisons(connection, reconciles=reconciles))
    except SQLAlchemyError:
        return DatabaseState()


def _comparisons(connection: Connection, *, reconciles: bool) -> dict[str, Any]:
    found = read_disagreement(connection)
    # Objects that were never compared wait for a backfill, or for their first weekly turn.
    begun = {ComparedPart.OBJECTS: found.first_at}
    runs = {part: found.runs_at.get(part, begun.get(part)) for part in ComparedPart}
    return {
        "reconcile_differences": found.differences,
        "reconcile_put_in": found.put_in,
        "reconcile_agreed_at": found.agreed_at.timestamp() if found.agreed_at else 0.0,
        "reconcile_runs_at": {part: at.timestamp() if at else 0.0 for part, at in runs.items()}
        if reconciles
        else None,
    }


def _count_bypassed(connection: Connection) -> int:
    query = sa.select(sa.func.count()).select_from(BulkPlan).where(APPROVAL_BYPASSED)
    return int(connection.execute(query).scalar_one())


class DatabaseStateCache:
    """The database's part as a thread last read it, so that no scrape waits for PostgreSQL."""

    def __init__(
        self, read: Callable[[], DatabaseState], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._state = DatabaseState()
        self._read_at = float("-inf")

    def refresh(self) -> None:
        """Read it again if it is old; a periodic job. ``clock`` is monotonic seconds."""
        if self._clock() - self._read_at >= DATABASE_STATE_SECONDS:
            self._state = self._read()
            self._read_at = self._clock()

    def state(self) -> DatabaseState:
        """Return what was read last; nothing once it is so old that a refresh must be stuck."""
        fresh = self._clock() - self._read_at < STALE_DATABASE_STATE_SECONDS
        return self._state if fresh else DatabaseState()


class SharedStateReader:
    """Reads both; a value that cannot be read has no sample."""

    def __init__(
        self,
        backlog: Callable[[], Backlog],
        database_state: Callable[[], DatabaseState],
        api_numbers: Callable[[], ApiNumbers],
    ) -> None:
        self._backlog = backlog
        self._database_state = database_state
        self._api_numbers = api_numbers
        self._last_need = LastNeed()

    def __call__(self) -> SharedState:
        """Return the shared state now; an unreachable server is no error."""
        database = asdict(self._database_state())
        try:
            backlog, api = self._backlog(), self._api_numbers()
        except RedisError:
            return replace(self._last_need.state(), **database)
        return replace(
            self._last_need.remember(state_of(backlog)),
            **database,
            fault_of_surroundings=_fault_of_surroundings(backlog.breaker),
            fetch_backlog_events=backlog.by_lane.get(Lane.FETCH, 0),
            fetch_breaker_open=backlog.fetch_breaker is not None,
            api_requests=api.requests,
            api_reads=api.reads,
            api_paused=api.paused,
        )


def _fault_of_surroundings(breaker: Breaker | None) -> str:
    if breaker is None or not concerns_every_event(breaker.reason):
        return ""
    return sqlstate_in(breaker.reason)
