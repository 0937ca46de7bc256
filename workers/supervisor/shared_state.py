"""Read the state that all processes share, for each scrape, from Redis and PostgreSQL."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Final

from redis.exceptions import RedisError
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from runtime.changes.feed import waiting_seconds
from runtime.data_loss.reports import count_missing, count_open_accepts
from runtime.failures.dead_letters import count_open
from runtime.inbox.entries import Backlog, Lane
from runtime.telemetry import SharedState

READ_AGAIN_SECONDS: Final = 5.0
"""The age at which the database is read again; an unreachable one is not asked more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """The database's part of a scrape; None where it could not be read."""

    dead_letters: int | None = None
    changes_waiting_seconds: float | None = None
    lost_settlements: int | None = None
    lost_accepts: int | None = None


def read_database_state(engine: Engine) -> DatabaseState:
    """Return the database's part; an unreachable database is no error."""
    try:
        dead = count_open(engine)
        with engine.connect() as connection:
            return DatabaseState(
                dead_letters=dead,
                changes_waiting_seconds=waiting_seconds(connection),
                lost_settlements=count_missing(connection),
                lost_accepts=count_open_accepts(connection),
            )
    except SQLAlchemyError:
        return DatabaseState()


class SharedStateReader:
    """Reads both; a value that cannot be read has no sample. ``clock`` is monotonic seconds."""

    def __init__(
        self,
        backlog: Callable[[], Backlog],
        database_state: Callable[[], DatabaseState],
        clock: Callable[[], float],
    ) -> None:
        self._backlog = backlog
        self._database_state = database_state
        self._clock = clock
        self._cached = DatabaseState()
        self._read_at = float("-inf")

    def __call__(self) -> SharedState:
        """Return the shared state now; an unreachable server is no error."""
        database = SharedState(**asdict(self._cached_database_state()))
        try:
            backlog = self._backlog()
        except RedisError:
            return database
        return replace(
            database,
            backlog_events=backlog.events,
            backlog_oldest_seconds=backlog.oldest_seconds,
            breaker_open=backlog.breaker is not None,
            fetch_backlog_events=backlog.by_lane.get(Lane.FETCH, 0),
            fetch_breaker_open=backlog.fetch_breaker is not None,
        )

    def _cached_database_state(self) -> DatabaseState:
        if self._clock() - self._read_at >= READ_AGAIN_SECONDS:
            self._cached = self._database_state()
            self._read_at = self._clock()
        return self._cached
