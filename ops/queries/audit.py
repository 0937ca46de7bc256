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
    target_type: str | None = None
    target: str | None = None
    """The id of a target; with its type an index finds it."""
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
    conditions = [*own_conditions(wanted, AuditLog).values()]
    if wanted.parties:
        stated = select(StoredFact.event_id).where(one_of(StoredFact.party, wanted.parties))
        conditions.append(AuditLog.event_id.in_(stated))
    if wanted.before:
        conditions.append(AuditLog.id < wanted.before)
    return conditions


def own_conditions(wanted: AuditFilter, log: type[AuditLog]) -> dict[str, ColumnElement[bool]]:
    """Return the conditions on an entry, or on an alias of it, by field of the filter."""
    exact = {
        "user": (log.user_id, wanted.user),
        "event": (log.event_id, wanted.event),
        "target_type": (log.target_type, wanted.target_type),
        "target": (log.target_id, wanted.target),
    }
    conditions = {name: column == value for name, (column, value) in exact.items() if value}
    if wanted.actor:
        conditions["actor"] = log.actor.in_(actors_named(wanted.actor))
    if wanted.since:
        conditions["since"] = log.occurred_at >= wanted.since
    if wanted.until:
        conditions["until"] = log.occurred_at < wanted.until
    if wanted.actions:
        conditions["actions"] = _acted(log, wanted.actions)
    return conditions


def actors_named(name: str) -> tuple[str, ...]:
    """Return the actors that a name means: the whole one, or without how it came in."""
    return tuple(f"{way}{name}" for way in ("", "cli:", "token:", "console:"))


def _acted(log: type[AuditLog], actions: tuple[str, ...]) -> ColumnElement[bool]:
    some: ColumnElement[bool] = log.action.in_(actions)
    for action in actions:
        some |= log.action.startswith(f"{action}.", autoescape=True)
    return some
