"""Entitlement changes as applications read them: by cursor, from the view, without gaps."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text

from models.tables import entitlement_changes as view


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of what one source gives one user; ``after`` is null once nothing states it."""

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


_COLUMNS = [view.columns[field.name] for field in fields(Change)]


def changes_after(
    connection: Connection, cursor: int, *, limit: int, user: str | None = None
) -> list[Change]:
    """The changes that follow a cursor, in order; of one user or of all."""
    query = select(*_COLUMNS).where(view.c.cursor > cursor).order_by(view.c.cursor).limit(limit)
    if user is not None:
        query = query.where(view.c.user_id == user)
    return [Change(**row) for row in connection.execute(query).mappings()]


def newest_changes(connection: Connection, *, limit: int, user: str | None = None) -> list[Change]:
    """The last changes, in the order in which they were made."""
    query = select(*_COLUMNS).order_by(view.c.cursor.desc()).limit(limit)
    if user is not None:
        query = query.where(view.c.user_id == user)
    return [Change(**row) for row in connection.execute(query).mappings()][::-1]


def newest_cursor(connection: Connection) -> int:
    """The highest cursor given; 0 before the first."""
    return int(connection.scalar(_NEWEST) or 0)


def waiting_seconds(connection: Connection) -> float:
    """For how long the oldest change without a cursor has been waiting; 0 if there is none."""
    return max(float(connection.scalar(_WAITING) or 0.0), 0.0)


_NEWEST = text("SELECT max(cursor) FROM numbered_changes")
_WAITING = text(
    "SELECT extract(epoch FROM clock_timestamp() - occurred_at) FROM audit_logs"
    " WHERE id = (SELECT min(audit_id) FROM waiting_changes)"
)
