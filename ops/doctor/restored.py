"""``doctor --restored``: data was restored, so nothing that Redis remembers of it counts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from ops import connections
from ops.bulk_audit import BulkAudit
from ops.terminal.formats import format_count
from ops.up import up_file
from runtime.data_loss.check import check_data
from runtime.data_loss.reports import close_reports
from runtime.inbox.recent import RecentEvents

REQUESTED: Final = "restored.requested"
ENDED: Final = "restored.ended"
DATABASE: Final = ("database", "all")
"""The type and id of the audit's target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The result of ``doctor --restored``."""

    reports_closed: int
    lost: int
    """Settled events that the database was found to lack just now; each is reported."""
    requeued: int
    """Events that are in the inbox again, because Redis still had their bodies."""

    def __str__(self) -> str:
        """Return it as a sentence."""
        reports = format_count(self.reports_closed, "report of lost data", "reports of lost data")
        closed = f"done markers are void, {reports} closed"
        if not self.lost:
            return f"{closed}; no settled event is missing"
        lost = format_count(self.lost, "settled event is", "settled events are")
        return f"{closed}; {lost} missing, {self.requeued} come back now"


def note_restored(environ: Mapping[str, str], *, actor: str, reason: str | None) -> Restored:
    """Close the reports of lost data, void the done markers, and look for lost settlements.

    The audit says that it was asked for, and what was found.

    Raises:
        CommandFailed, NoServerConfigured: a server is unreachable or not set.
    """
    settings = up_file.settings(environ, "DATABASE_URL", "REDIS_URL")
    with (
        connections.open_database(settings, application="doctor") as engine,
        connections.open_inbox(settings) as inbox,
    ):
        recent = RecentEvents(inbox.client, replicas=settings.redis_replicas)
        audit = BulkAudit(engine=engine, actor=actor, reason=reason, targets=[DATABASE])
        audit.record(REQUESTED, "done", None)
        with engine.begin() as connection:
            closed = close_reports(connection)
        recent.close_losses()
        checked = check_data(recent, engine, restored=True)
        # The sweeper wakes workers for what is due.
        for wake in checked.wakes:
            inbox.unregister(wake)
        found = Restored(
            reports_closed=closed,
            lost=len(checked.lost.settlements) if checked.lost else 0,
            requeued=checked.requeued,
        )
        audit.record(ENDED, "done", {**asdict(found), "database_epoch": checked.database_epoch})
    return found
