"""The days of Stripe's event list in PostgreSQL, as they were read last."""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from billing.ids import Realm
from models.tables import ReconciledDay
from ops.reconcile.event_days import KnownDay
from runtime.ledger.bulk import insert_rows


def read_days(connection: Connection, realm: Realm) -> tuple[KnownDay, ...]:
    """Return every day of an account and mode that was ever read whole, oldest first."""
    rows = connection.execute(
        sa.select(ReconciledDay.__table__)
        .where(ReconciledDay.realm == realm)
        .order_by(ReconciledDay.day)
    )
    return tuple(
        KnownDay(
            day=row.day,
            digest=int(row.digest),
            events=row.events,
            missing=row.missing,
            reads=row.reads,
            read_at=row.read_at,
            closed_at=row.closed_at,
        )
        for row in rows
    )


def write_days(connection: Connection, realm: Realm, days: Iterable[KnownDay]) -> None:
    """Store days as they were read now, replacing what is stored of them."""
    rows = [
        {
            "realm": realm,
            "day": each.day,
            "digest": str(each.digest),
            "events": each.events,
            "missing": each.missing,
            "reads": each.reads,
            "read_at": each.read_at,
            "closed_at": each.closed_at,
        }
        for each in days
    ]
    insert_rows(connection, ReconciledDay, rows, conflict="replace")
