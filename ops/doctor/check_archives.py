"""Find updates of archives that do not come to their end."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from ops.doctor.findings import Finding, warning
from ops.queries.audit_history import database_now
from ops.terminal.formats import format_count, format_time
from runtime.ledger.maintenance.archive_updates import updates_in_progress

MAX_AGE: Final = timedelta(minutes=10)
"""Updates are done one after the other, so this leaves time for many customers."""


def check_archives(connection: Connection) -> Iterator[Finding]:
    """Warn of the oldest update of archives if it has been under way for long."""
    updates = updates_in_progress(connection)
    if not updates or database_now(connection) - updates[0].began_at < MAX_AGE:
        return
    oldest = updates[0]
    left = format_count(oldest.archives_left, "archive")
    says = f"{oldest.party} is updated in steps since {format_time(oldest.began_at)}, {left} left"
    todo = "run a worker, or look for `archive-updates` in the log of the one that leads"
    yield warning("archives", f"{says}: {todo}")
