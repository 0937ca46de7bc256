"""Check that entitlement changes reach their readers."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection

from ops.doctor.findings import Finding, ok, warning
from ops.terminal.formats import format_duration
from runtime.changes.feed import newest_cursor, waiting_seconds

_CHECK = "changes"
LATE_SECONDS: Final = 10.0


def check_changes(connection: Connection) -> Iterator[Finding]:
    """Report the age of the oldest change that has no number yet, so that no reader sees it."""
    waiting = waiting_seconds(connection)
    newest = newest_cursor(connection)
    if waiting > LATE_SECONDS:
        says = f"the oldest change that readers cannot see yet is {format_duration(waiting)} old"
        yield warning(_CHECK, f"{says}: start `paidup worker`, or look at its log for the reason")
    else:
        yield ok(_CHECK, f"readers see every change; the newest is {newest}")
