"""Check how many events wait and for how long, and whether the inbox has room for more."""

from collections.abc import Iterator
from typing import Final

from ops.doctor.findings import Finding, ok, problem, warning
from ops.terminal.formats import format_count, format_duration
from runtime.inbox.entries import Backlog

LATE_SECONDS: Final = 60.0
"""A due event that is older than this shows that workers cannot keep up."""

STUCK_SECONDS: Final = 600.0
"""No restart and no failover takes so long: something is wrong."""

OLD_SECONDS: Final = 3600.0
"""An event that is tried again for longer than this will hardly get better by itself."""

_FULL_PERCENT: Final = 80
_CHECK: Final = "backlog"


def check_backlog(inbox: Backlog, limit: int) -> Iterator[Finding]:
    """Report events that wait too long, and an inbox near its ``limit``."""
    troubles = [*_late(inbox), *_room(inbox, limit)]
    yield from troubles
    if inbox.unknown_version:
        events = format_count(inbox.unknown_version, "event")
        yield warning(_CHECK, f"{events} in an unknown format: upgrade the workers to apply them")
    if not troubles:
        yield ok(_CHECK, _describe(inbox))


def _late(inbox: Backlog) -> Iterator[Finding]:
    if inbox.due and inbox.waiting_seconds > LATE_SECONDS:
        waited = format_duration(inbox.waiting_seconds)
        says = f"{format_count(inbox.due, 'event')} due, the oldest for {waited}"
        todo = "`paidup status` says how many processes it needs, start more with `paidup worker`"
        state = problem if inbox.waiting_seconds > STUCK_SECONDS else warning
        yield state(_CHECK, f"{says}: {todo}")
    elif inbox.events and inbox.oldest_seconds > OLD_SECONDS:
        oldest = f"the oldest event in the inbox is {format_duration(inbox.oldest_seconds)} old"
        says = f"{oldest}, {inbox.parked} are parked for another try"
        yield warning(_CHECK, f"{says}: the worker's log names them and their errors")


def _room(inbox: Backlog, limit: int) -> Iterator[Finding]:
    if inbox.events * 100 >= limit * _FULL_PERCENT:
        says = f"{format_count(inbox.events, 'event')} of {limit} (PAIDUP_INBOX_LIMIT)"
        yield problem(_CHECK, f"{says}, and ingest answers 503 above it: start more workers")


def _describe(inbox: Backlog) -> str:
    if not inbox.events:
        return "no event waits"
    oldest = format_duration(inbox.oldest_seconds)
    return f"{format_count(inbox.events, 'event')} in the inbox, the oldest {oldest} old"
