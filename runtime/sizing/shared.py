"""Turn the backlog into the numbers that every process reports of it."""

from runtime.inbox.entries import Backlog
from runtime.sizing.need import estimate_need
from runtime.telemetry import SharedState


def state_of(backlog: Backlog) -> SharedState:
    """Return what the backlog says of the whole installation."""
    need = estimate_need(backlog=backlog.due + backlog.claimed, arriving=0.0, rate=None)
    return SharedState(
        backlog_events=backlog.events,
        backlog_oldest_seconds=backlog.oldest_seconds,
        backlog_due_events=backlog.due,
        backlog_due_seconds=backlog.waiting_seconds,
        backlog_parked_events=backlog.parked,
        breaker_open=backlog.breaker is not None,
        breaker_open_seconds=backlog.breaker_seconds,
        workers_needed=need.processes,
        worker_processes=backlog.processes,
    )
