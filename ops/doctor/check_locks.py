"""Check that PostgreSQL's lock table has room for every lock that workers may hold at once."""

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
    """Report missing room. A batch has at most ``claimed`` events, each of a party of its own."""
    of_each, sessions, workers = connection.execute(_ROOM).one()
    if (wanted := locks_per_transaction(workers * claimed, sessions)) > of_each:
        says = f"the worker processes ({workers}) may lock {workers * claimed:,} parties at once"
        room = f"PostgreSQL has room for {of_each * sessions:,}"
        yield warning("locks", f"{says}, {room}: set max_locks_per_transaction to {wanted}")


def locks_per_transaction(locks: int, sessions: int) -> int:
    """Return the ``max_locks_per_transaction`` that gives room for ``locks`` over all sessions."""
    return ceil(locks / sessions)
