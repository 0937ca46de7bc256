"""Describe the workers and the circuit breaker, for `status` and `doctor`."""

from ops.terminal.formats import format_count, format_duration, format_time
from runtime.inbox.entries import Backlog


def describe_workers(inbox: Backlog) -> str:
    """Return the number of announced workers and of their processes."""
    workers = format_count(inbox.workers, "worker")
    return f"{workers} with {format_count(inbox.processes, 'process', 'processes')}"


def describe_breaker(inbox: Backlog) -> str:
    """Return ``closed``, or for how long it is open, why, and when it closes."""
    if inbox.breaker is None:
        return "closed"
    lasts = ""
    if inbox.breaker.since:
        since = format_time(inbox.breaker.since)
        lasts = f" since {since} ({format_duration(inbox.breaker_seconds)})"
    until = f"closes at {format_time(inbox.breaker.until)} unless a probe fails again"
    return f"open{lasts}, no event is applied: {inbox.breaker.reason}; {until}"
