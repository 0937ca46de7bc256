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
from ops.queries.rows import read_row
from runtime.ledger.maintenance.ending_soon import ENDS_SOON
from runtime.ledger.write import ENTITLEMENT

_ADDED_LATER: Final = {"per_seat": ()}
"""Fields that entries of older releases lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessEntry:
    """An audit entry about access: granted, changed or revoked.

    ``at`` is the time from which it can have been visible: never before the entry before it,
    which it may have waited for.
    """

    id: int
    at: datetime
    action: str
    actor: str
    event_id: str | None
    reason: str | None
    catalogue_version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedGrant:
    """A grant before and after a change, and the entry about it."""

    entry: AccessEntry
    before: EntitlementRow | None
    after: EntitlementRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessHistory:
    """All entries up to ``at``; ``version`` and ``plans`` are those of record then."""

    user_id: str
    at: datetime
    entries: tuple[AuditedGrant, ...]
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
        entries=tuple(takewhile(lambda each: each.entry.at <= at, every)),
        first=every[0].entry if every else None,
        features_ever=frozenset(_features(every)),
        version=version,
        plans=plans,
    )


def database_now(connection: Connection) -> datetime:
    """Return the database's time."""
    now: datetime = connection.execute(select(func.now())).scalar_one()
    return now


def _entries(connection: Connection, user_id: str) -> Sequence[AuditedGrant]:
    # An announced end changes no row, so it decides nothing and hides no one who did.
    query = select(AuditLog.__table__).where(
        AuditLog.user_id == user_id,
        AuditLog.target_type == ENTITLEMENT,
        AuditLog.action != ENDS_SOON,
    )
    found: list[AuditedGrant] = []
    for audited in connection.execute(query.order_by(AuditLog.id)):
        visible_at = max([audited.occurred_at, *(each.entry.at for each in found[-1:])])
        entry = AccessEntry(
            id=audited.id,
            at=visible_at,
            action=audited.action,
            actor=audited.actor,
            event_id=audited.event_id,
            reason=audited.reason,
            catalogue_version=(audited.after or {}).get("catalogue_version"),
        )
        before, after = _row(audited.before), _row(audited.after)
        found.append(AuditedGrant(entry=entry, before=before, after=after))
    return found


def _row(written: Mapping[str, Any] | None) -> EntitlementRow | None:
    return read_row(EntitlementRow, {**_ADDED_LATER, **written}) if written is not None else None


def _features(entries: Iterable[AuditedGrant]) -> Iterable[str]:
    rows = (row for each in entries for row in (each.before, each.after) if row)
    return (name for row in rows for name in row.entitlements)


def _plans(connection: Connection, at: datetime) -> tuple[int | None, Catalogue]:
    query = (
        select(StoredCatalogue.version, StoredCatalogue.document)
        .where(StoredCatalogue.applied_at <= at)
        .order_by(StoredCatalogue.version.desc())
    )
    row = connection.execute(query.limit(1)).first()
    return (row.version, read_catalogue(row.document)) if row else (None, Catalogue())
