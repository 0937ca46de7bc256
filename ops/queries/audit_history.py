"""Query what the audit log holds about one user's access, up to a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any, Final

from sqlalchemy import Connection, func, select

from billing.catalogue import Catalogue, read_catalogue
from billing.rows import EntitlementRow
from models.tables import AuditLog, StoredCatalogue
from runtime.ledger.rows import TableName, from_plain
from runtime.ledger.write import ENTITLEMENT

_ADDED_LATER: Final = {"per_seat": ()}
"""Fields that entries of older releases lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessEntry:
    """A change of access: granted, changed or revoked.

    ``at`` is the time from which it can have been visible: never before the entry before it,
    which it may have waited for.
    """

    id: int
    at: datetime
    actor: str
    action: str
    event_id: str | None
    reason: str | None
    before: EntitlementRow | None
    after: EntitlementRow | None
    catalogue_version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessHistory:
    """All entries up to ``at``; ``version`` and ``plans`` are those of record then."""

    user_id: str
    at: datetime
    entries: tuple[AccessEntry, ...]
    first: AccessEntry | None
    """The first entry of all, even if it is later than ``at``."""
    features_ever: frozenset[str]
    version: int | None
    plans: Catalogue


def load_access_history(connection: Connection, user_id: str, at: datetime) -> AccessHistory:
    """Return what was on record about a user's access at a time in the past."""
    every = _entries(connection, user_id)
    version, plans = _plans(connection, at)
    return AccessHistory(
        user_id=user_id,
        at=at,
        entries=tuple(takewhile(lambda entry: entry.at <= at, every)),
        first=every[0] if every else None,
        features_ever=frozenset(_features(every)),
        version=version,
        plans=plans,
    )


def database_now(connection: Connection) -> datetime:
    """Return the database's time."""
    now: datetime = connection.execute(select(func.now())).scalar_one()
    return now


def _entries(connection: Connection, user_id: str) -> Sequence[AccessEntry]:
    query = select(AuditLog.__table__).where(
        AuditLog.user_id == user_id, AuditLog.target_type == ENTITLEMENT
    )
    found: list[AccessEntry] = []
    for audited in connection.execute(query.order_by(AuditLog.id)):
        at = max(audited.occurred_at, found[-1].at) if found else audited.occurred_at
        found.append(_entry(audited, at))
    return found


def _entry(audited: Any, at: datetime) -> AccessEntry:
    return AccessEntry(
        id=audited.id,
        at=at,
        actor=audited.actor,
        action=audited.action,
        event_id=audited.event_id,
        reason=audited.reason,
        before=_row(audited.before),
        after=_row(audited.after),
        catalogue_version=(audited.after or {}).get("catalogue_version"),
    )


def _row(written: Mapping[str, Any] | None) -> EntitlementRow | None:
    if written is None:
        return None
    row = from_plain(TableName.ENTITLEMENTS, {**_ADDED_LATER, **written})
    assert isinstance(row, EntitlementRow)  # noqa: S101 - the table says so
    return row


def _features(entries: Iterable[AccessEntry]) -> Iterable[str]:
    rows = (row for entry in entries for row in (entry.before, entry.after) if row)
    return (name for row in rows for name in row.entitlements)


def _plans(connection: Connection, at: datetime) -> tuple[int | None, Catalogue]:
    query = (
        select(StoredCatalogue.version, StoredCatalogue.document)
        .where(StoredCatalogue.applied_at <= at)
        .order_by(StoredCatalogue.version.desc())
    )
    row = connection.execute(query.limit(1)).first()
    return (row.version, read_catalogue(row.document)) if row else (None, Catalogue())
