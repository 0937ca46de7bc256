"""Query the audit log, newest entries first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, SQLColumnExpression, select

from models.tables import AuditLog, StoredFact
from ops.queries.rows import fetch
from runtime.database.one_of import one_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One entry of the audit log."""

    id: int
    occurred_at: datetime
    actor: str
    action: str
    outcome: str
    origin: str
    target_type: str
    target_id: str
    event_id: str | None
    user_id: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """The conditions on an entry; all that are set must hold."""

    user: str | None = None
    parties: frozenset[str] = frozenset()
    """Only entries that events about these parties caused; empty means all."""
    event: str | None = None
    actor: str | None = None
    actions: tuple[str, ...] = ()
    """Whole actions, or the part before the dot."""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    """Only entries with a lower id: the next page after one that ended there."""


def audit_entries(
    connection: Connection, wanted: AuditFilter, *, limit: int
) -> tuple[AuditEntry, ...]:
    """Return the entries that match, newest first."""
    number: SQLColumnExpression[int] = AuditLog.id
    if wanted.parties:
        # Few entries match: `+ 0` keeps PostgreSQL from looking for them from the newest one on.
        number = AuditLog.id + 0
    matching, newest = _conditions(wanted), [number.desc()]
    return fetch(connection, AuditEntry, AuditLog, *matching, order_by=newest, limit=limit)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    exact = {
        AuditLog.user_id: wanted.user,
        AuditLog.event_id: wanted.event,
    }
    conditions = [column == value for column, value in exact.items() if value is not None]
    if wanted.actor:
        names = ("", "cli:", "token:", "console:")
        conditions.append(AuditLog.actor.in_([f"{each}{wanted.actor}" for each in names]))
    if wanted.parties:
        stated = select(StoredFact.event_id).where(one_of(StoredFact.party, wanted.parties))
        conditions.append(AuditLog.event_id.in_(stated))
    if wanted.since:
        conditions.append(AuditLog.occurred_at >= wanted.since)
    if wanted.until:
        conditions.append(AuditLog.occurred_at < wanted.until)
    if wanted.before:
        conditions.append(AuditLog.id < wanted.before)
    if wanted.actions:
        conditions.append(_acted(wanted.actions))
    return conditions


def _acted(actions: tuple[str, ...]) -> ColumnElement[bool]:
    some: ColumnElement[bool] = AuditLog.action.in_(actions)
    for action in actions:
        some |= AuditLog.action.startswith(f"{action}.", autoescape=True)
    return some
