"""Query users page by page, and the changes of one user's entitlements."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from models.tables import UserVersion
from ops.queries.audit import AuditEntry, AuditFilter
from ops.queries.audit_pages import audit_page
from ops.queries.pages import Listing, Page, PageRequest, fetch_page
from runtime.ledger.write import ENTITLEMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedUser:
    """A user who has or had entitlements, and when they changed last."""

    user_id: str
    version: int
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedChange:
    """A change of one user's entitlements: ``granted``, ``changed``, ``revoked`` or ``ends_soon``.

    ``id`` is that of the audit entry.
    """

    id: int
    at: datetime
    change: str
    source: str
    plan_code: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    event_id: str | None
    actor: str
    reason: str | None


def user_page(connection: Connection, asked: PageRequest) -> Page[ListedUser]:
    """Return a page of the users who have or had entitlements, by their ids."""
    listing = Listing(shape=ListedUser, model=UserVersion, order=("user_id",), descending=False)
    return fetch_page(connection, listing, asked)


def change_page(connection: Connection, user_id: str, asked: PageRequest) -> Page[RecordedChange]:
    """Return a page of the changes of a user's entitlements, newest first."""
    wanted = AuditFilter(user=user_id, actions=(ENTITLEMENT,))
    page = audit_page(connection, wanted, asked)
    changes = tuple(map(_change, page.rows))
    return Page(rows=changes, after=page.after, before=page.before, searched_to=page.searched_to)


def _change(entry: AuditEntry) -> RecordedChange:
    row = entry.after or entry.before or {}
    return RecordedChange(
        id=entry.id,
        at=entry.occurred_at,
        change=entry.action.partition(".")[2],
        source=row["source"],
        plan_code=row["plan_code"],
        before=entry.before,
        after=entry.after,
        event_id=entry.event_id,
        actor=entry.actor,
        reason=entry.reason,
    )
