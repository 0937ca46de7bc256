"""The state all processes share, read where it lives at each scrape."""

from collections.abc import Callable
from typing import Final, Protocol

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from runtime.inbox.entries import Backlog
from runtime.telemetry import SharedState

COUNT_AGAIN_SECONDS: Final = 5.0
"""How long a count of dead letters is good for; a database that is away is not asked more often."""


class HasBacklog(Protocol):
    """The inbox, as far as a scrape knows it."""

    def backlog(self) -> Backlog:
        """The inbox at this moment."""
        ...


class StateReader:
    """Reads what it can; what cannot be read now has no sample. ``clock`` is monotonic seconds."""

    def __init__(
        self, inbox: HasBacklog, count_dead: Callable[[], int], clock: Callable[[], float]
    ) -> None:
        self._inbox = inbox
        self._count_dead = count_dead
        self._clock = clock
        self._dead: int | None = None
        self._counted_at = float("-inf")

    def __call__(self) -> SharedState:
        """The shared state now; never raises for a server that is away."""
        dead = self._dead_letters()
        try:
            backlog = self._inbox.backlog()
        except RedisError:
            return SharedState(dead_letters=dead)
        return SharedState(
            backlog_events=backlog.events,
            backlog_oldest_seconds=backlog.oldest_seconds,
            dead_letters=dead,
            breaker_open=backlog.breaker is not None,
        )

    def _dead_letters(self) -> int | None:
        if self._clock() - self._counted_at >= COUNT_AGAIN_SECONDS:
            try:
                self._dead = self._count_dead()
            except SQLAlchemyError:
                self._dead = None
            self._counted_at = self._clock()
        return self._dead
