"""The days of Stripe's event list in PostgreSQL, as they were read last."""

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from billing.ids import Realm
from models.tables import ReconciledDay
from ops.reconcile.event_days import KnownDay


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
    if rows:
        connection.execute(_WRITE, rows)


def _write() -> postgresql.Insert:
    insert = postgresql.insert(ReconciledDay.__table__)  # type: ignore[arg-type]
    kept = {"realm", "day"}
    renewed = {each.name: each for each in insert.excluded if each.name not in kept}
    return insert.on_conflict_do_update(index_elements=["realm", "day"], set_=renewed)


_WRITE: Final = _write()
