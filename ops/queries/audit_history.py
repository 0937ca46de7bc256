"""What the audit holds of one user's access, up to a moment."""

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
"""What entries of older releases do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A change of access: granted, changed or revoked.

    ``at`` is when it held at the earliest: an entry that waited for the one before it has begun
    before, and was not seen by anybody.
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
class History:
    """All of it up to a moment; ``version`` and ``plans`` are those of record then."""

    user_id: str
    at: datetime
    entries: tuple[Entry, ...]
    first: Entry | None
    """The first there is at all."""
    features_ever: frozenset[str]
    version: int | None
    plans: Catalogue


def history_of(connection: Connection, user_id: str, at: datetime) -> History:
    """What was on record about a user's access at a moment, which must not lie ahead."""
    every = _entries(connection, user_id)
    version, plans = _plans(connection, at)
    return History(
        user_id=user_id,
        at=at,
        entries=tuple(takewhile(lambda entry: entry.at <= at, every)),
        first=every[0] if every else None,
        features_ever=frozenset(_features(every)),
        version=version,
        plans=plans,
    )


def clock(connection: Connection) -> datetime:
    """The database's."""
    now: datetime = connection.execute(select(func.now())).scalar_one()
    return now


def _entries(connection: Connection, user_id: str) -> Sequence[Entry]:
    query = select(AuditLog.__table__).where(
        AuditLog.user_id == user_id, AuditLog.target_type == ENTITLEMENT
    )
    found: list[Entry] = []
    for audited in connection.execute(query.order_by(AuditLog.id)):
        at = max(audited.occurred_at, found[-1].at) if found else audited.occurred_at
        found.append(_entry(audited, at))
    return found


def _entry(audited: Any, at: datetime) -> Entry:
    return Entry(
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


def _features(entries: Iterable[Entry]) -> Iterable[str]:
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
