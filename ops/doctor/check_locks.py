"""Whether PostgreSQL's table of locks has room for all that workers may lock at once."""

from collections.abc import Iterator
from math import ceil

from sqlalchemy import Connection, text

from ops.doctor.findings import Finding, warning
from runtime.inbox.inbox import MAX_EVENTS

_ROOM = text(
    "SELECT current_setting('max_locks_per_transaction')::int AS of_each,"
    " current_setting('max_connections')::int"
    " + current_setting('max_prepared_transactions')::int AS sessions,"
    " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    "  AND application_name LIKE 'paidup-worker-%') AS workers"
)


def check_locks(connection: Connection, *, claimed: int = MAX_EVENTS) -> Iterator[Finding]:
    """Only what is lacking. ``claimed`` events at most are a batch, each of a party of its own."""
    of_each, sessions, workers = connection.execute(_ROOM).one()
    if (wanted := enough_for(workers * claimed, sessions)) > of_each:
        says = f"the worker processes ({workers}) may lock {workers * claimed:,} parties at once"
        room = f"PostgreSQL has room for {of_each * sessions:,}"
        yield warning("locks", f"{says}, {room}: set max_locks_per_transaction to {wanted}")


def enough_for(locks: int, sessions: int) -> int:
    """The ``max_locks_per_transaction`` that gives room for so many: one share for each session."""
    return ceil(locks / sessions)
