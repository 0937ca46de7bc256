"""Read entitlement changes as applications do: by cursor, from the view, without gaps."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text

from models.tables import entitlement_changes as view
from models.tables import entitlement_epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementChange:
    """One change of the grant of one source to one user; ``after`` is None if it is gone.

    ``version`` is the user's after it, and counts under ``epoch``, as the cursor does.
    """

    cursor: int
    user_id: str
    source: str
    plan_code: str
    change: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    event_id: str | None
    reason: str | None
    occurred_at: datetime
    version: int | None
    epoch: str


@dataclass(frozen=True, slots=True)
class Newest:
    """The highest cursor, 0 before the first change, and the epoch under which it counts."""

    cursor: int
    epoch: str


_COLUMNS = [view.columns[field.name] for field in fields(EntitlementChange)]


def changes_after(
    connection: Connection, cursor: int, *, limit: int, user: str | None = None
) -> list[EntitlementChange]:
    """Return the changes after a cursor, in order, of one user or of all."""
    query = select(*_COLUMNS).where(view.c.cursor > cursor).order_by(view.c.cursor).limit(limit)
    if user is not None:
        query = query.where(view.c.user_id == user)
    return [EntitlementChange(**row) for row in connection.execute(query).mappings()]


def newest_changes(
    connection: Connection, *, limit: int, user: str | None = None
) -> list[EntitlementChange]:
    """Return the newest changes, oldest first."""
    query = select(*_COLUMNS).order_by(view.c.cursor.desc()).limit(limit)
    if user is not None:
        query = query.where(view.c.user_id == user)
    return [EntitlementChange(**row) for row in connection.execute(query).mappings()][::-1]


def read_newest(connection: Connection) -> Newest:
    """Return the highest cursor and the database epoch."""
    found = connection.execute(_NEWEST).one()
    return Newest(cursor=found.cursor, epoch=found.epoch)


def waiting_seconds(connection: Connection) -> float:
    """Return the age of the oldest change without a cursor; 0 if there is none."""
    return max(float(connection.scalar(_WAITING) or 0.0), 0.0)


_NEWEST = select(entitlement_epoch)
_WAITING = text(
    "SELECT extract(epoch FROM clock_timestamp() - occurred_at) FROM audit_logs"
    " WHERE id = (SELECT min(audit_id) FROM waiting_changes)"
)
