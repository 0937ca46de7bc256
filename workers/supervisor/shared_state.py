"""The state all processes share, read where it lives at each scrape."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from redis.exceptions import RedisError
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from runtime.changes.feed import newest_cursor, waiting_seconds
from runtime.failures.dead_letters import count_open
from runtime.inbox.entries import Backlog, Lane
from runtime.telemetry import SharedState

READ_AGAIN_SECONDS: Final = 5.0
"""How long an answer of the database is good for; one that is away is not asked more often."""


class HasBacklog(Protocol):
    """The inbox, as far as a scrape knows it."""

    def backlog(self) -> Backlog:
        """The inbox at this moment."""
        ...


class HasLastCursor(Protocol):
    """The stream of entitlement changes, as far as a scrape knows it."""

    length: int

    def last_cursor(self) -> int:
        """How far it was written."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the database knows that a scrape tells; None is not known now."""

    dead_letters: int | None = None
    changes_waiting_seconds: float | None = None
    newest_change: int | None = None


def read_books(engine: Engine) -> Books:
    """Ask the database; never raises where it is away."""
    try:
        dead = count_open(engine)
        with engine.connect() as connection:
            waiting, newest = waiting_seconds(connection), newest_cursor(connection)
    except SQLAlchemyError:
        return Books()
    return Books(dead_letters=dead, changes_waiting_seconds=waiting, newest_change=newest)


class StateReader:
    """Reads what it can; what cannot be read now has no sample. ``clock`` is monotonic seconds."""

    def __init__(
        self,
        inbox: HasBacklog,
        stream: HasLastCursor,
        ask_books: Callable[[], Books],
        clock: Callable[[], float],
    ) -> None:
        self._inbox = inbox
        self._stream = stream
        self._ask_books = ask_books
        self._clock = clock
        self._books = Books()
        self._read_at = float("-inf")

    def __call__(self) -> SharedState:
        """The shared state now; never raises for a server that is away."""
        books = self._books_now()
        dead, waiting = books.dead_letters, books.changes_waiting_seconds
        try:
            backlog, unstreamed = self._inbox.backlog(), self._unstreamed(books.newest_change)
        except RedisError:
            return SharedState(dead_letters=dead, changes_waiting_seconds=waiting)
        return SharedState(
            backlog_events=backlog.events,
            backlog_oldest_seconds=backlog.oldest_seconds,
            dead_letters=dead,
            breaker_open=backlog.breaker is not None,
            changes_waiting_seconds=waiting,
            changes_unstreamed=unstreamed,
            fetch_backlog_events=backlog.by_lane.get(Lane.FETCH, 0),
            fetch_breaker_open=backlog.fetch_breaker is not None,
        )

    def _unstreamed(self, newest: int | None) -> int | None:
        if newest is None or not self._stream.length:
            return None
        return max(newest - self._stream.last_cursor(), 0)

    def _books_now(self) -> Books:
        if self._clock() - self._read_at >= READ_AGAIN_SECONDS:
            self._books = self._ask_books()
            self._read_at = self._clock()
        return self._books
