"""Turn the backlog into the numbers that every process reports of it."""

import time
from collections.abc import Callable
from contextlib import suppress

from redis.exceptions import RedisError

from runtime.inbox.entries import Backlog
from runtime.sizing.need import estimate_need
from runtime.telemetry import SharedState
from runtime.time_limits import STALE_NEED_SECONDS


def state_of(backlog: Backlog) -> SharedState:
    """Return what the backlog says of the whole installation."""
    return SharedState(
        backlog_events=backlog.events,
        backlog_oldest_seconds=backlog.oldest_seconds,
        backlog_due_events=backlog.due,
        backlog_due_seconds=backlog.waiting_seconds,
        backlog_parked_events=backlog.parked,
        breaker_open=backlog.breaker is not None,
        breaker_open_seconds=backlog.breaker_seconds,
        workers_needed=estimate_need(backlog).processes,
        worker_processes=backlog.processes,
    )


class LastNeed:
    """The processes needed as they were read last, for the time in which Redis does not answer.

    An autoscaler that goes by this number then leaves the workers as they are. After a while it
    is no longer known, so that a process which alone has lost Redis does not outvote the others.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._processes: int | None = None
        self._read_at = float("-inf")

    def remember(self, state: SharedState) -> SharedState:
        """Return a state that was just read."""
        self._processes, self._read_at = state.workers_needed, self._monotonic()
        return state

    def state(self) -> SharedState:
        """Return what is known without Redis."""
        fresh = self._monotonic() - self._read_at < STALE_NEED_SECONDS
        return SharedState(workers_needed=self._processes if fresh else None)


class SharedBacklog:
    """The shared state of a process that has no more to report than the backlog."""

    def __init__(self, read: Callable[[], Backlog]) -> None:
        self._read = read
        self._last = LastNeed()
        self.state = SharedState()
        """As it was when it was read last."""

    def refresh(self) -> None:
        """Read it again; an unreachable Redis is no error, and no error leaves an old backlog."""
        state = self._last.state()
        try:
            with suppress(RedisError):
                state = self._last.remember(state_of(self._read()))
        finally:
            self.state = state
