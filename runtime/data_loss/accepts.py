"""Report in PostgreSQL which accepts Redis lost."""

from collections.abc import Collection

from sqlalchemy import Connection, text

from runtime.inbox.entries import LostAccepts

_REPORT = text(
    "INSERT INTO data_losses (server, noticed_at, complete, inbox_epoch, first_accept, last_accept)"
    " VALUES ('redis', :noticed_at, false, :inbox_epoch, :first, :last)"
    " ON CONFLICT (inbox_epoch) DO UPDATE SET last_accept = excluded.last_accept"
    " WHERE data_losses.last_accept < excluded.last_accept RETURNING xmax = 0 AS is_new"
)


_REPORTED = text(
    "SELECT inbox_epoch, last_accept FROM data_losses WHERE inbox_epoch = ANY(:epochs)"
)


def report_lost_accepts(
    connection: Connection, losses: Collection[LostAccepts]
) -> tuple[LostAccepts, ...]:
    """Report losses, add to reports what is known by now, and return those without a report."""
    if not losses:
        return ()
    reported = connection.execute(_REPORTED, {"epochs": [each.inbox_epoch for each in losses]})
    last = {row.inbox_epoch: row.last_accept for row in reported}
    news = [each for each in losses if each.last > last.get(each.inbox_epoch, -1)]
    return tuple(each for each in news if _report(connection, each))


def _report(connection: Connection, loss: LostAccepts) -> bool:
    values = {
        "noticed_at": loss.noticed_at,
        "inbox_epoch": loss.inbox_epoch,
        "first": loss.first or None,
        "last": loss.last,
    }
    return bool(connection.scalar(_REPORT, values))
