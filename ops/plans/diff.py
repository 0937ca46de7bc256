"""Find the users whose access other plans would change: project every party, write nothing.

All users are counted; the first ``limit`` are kept with their access before and after.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from billing.catalogue import Catalogue
from billing.ids import PartyId, UserId
from billing.projection.effective import merge_grants, with_changes
from billing.rows import EntitlementRow, Key, Projection, PurchaseStatus
from ops.queries.rows import load_grants
from runtime.ledger.decisions import EntitlementChanged, EntitlementGranted, EntitlementRevoked
from runtime.ledger.maintenance.preview import PartyPreview, preview_parties
from runtime.ledger.write import CHANGES

_ACTIVE_STATUSES: Final = frozenset({"active", "trialing", "past_due"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantChange:
    """One grant that other plans change: granted, changed or revoked."""

    change: str
    before: EntitlementRow | None
    after: EntitlementRow | None

    @property
    def row(self) -> EntitlementRow:
        """The grant after the change, else before it."""
        row = self.after or self.before
        assert row is not None, "a change has at least one side"  # noqa: S101 - for the reader
        return row


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """One user: the changed grants, and all features before and after."""

    user_id: UserId
    grants: tuple[GrantChange, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(slots=True)
class UnlistedPrice:
    """The users who pay for a price that is in no plan; ``unlinked`` counts payers without one."""

    users: set[UserId] = field(default_factory=set)
    unlinked: int = 0


@dataclass(slots=True, kw_only=True)
class PlansDiff:
    """The findings so far; the first ``limit`` users are kept in detail."""

    catalogue: Catalogue
    limit: int
    parties: int = 0
    users: set[UserId] = field(default_factory=set)
    changes: Counter[str] = field(default_factory=Counter)
    unknown: dict[str, UnlistedPrice] = field(default_factory=dict)
    _shown: dict[UserId, list[GrantChange]] = field(default_factory=dict)

    def add_parties(self, engine: Engine, parties: list[PartyId]) -> None:
        """Add some parties."""
        with engine.connect() as connection:
            for each in preview_parties(connection, self.catalogue, parties):
                self._add(each)
        self.parties += len(parties)

    def shown(self, connection: Connection) -> Iterator[UserChange]:
        """Yield the users that are kept in detail, sorted by id."""
        now = connection.execute(text("SELECT now()")).scalar_one()
        current = load_grants(connection, self._shown)
        for user_id, changes in sorted(self._shown.items()):
            yield self._user(user_id, changes, current.get(user_id, {}), now)

    def _add(self, preview: PartyPreview) -> None:
        for change in _grant_changes(preview):
            self.changes[change.change] += 1
            self._count(change)
        for price in preview.projection.unknown_prices:
            _add_payers(self.unknown.setdefault(price, UnlistedPrice()), price, preview.projection)

    def _count(self, change: GrantChange) -> None:
        user_id = change.row.user_id
        self.users.add(user_id)
        if user_id in self._shown or len(self._shown) < self.limit:
            self._shown.setdefault(user_id, []).append(change)

    def _user(
        self,
        user_id: UserId,
        changes: list[GrantChange],
        current: dict[Key, EntitlementRow],
        now: datetime,
    ) -> UserChange:
        pairs = ((change.before, change.after) for change in changes)
        after = with_changes(current, pairs)
        return UserChange(
            user_id=user_id,
            grants=tuple(changes),
            before=merge_grants(current.values(), now),
            after=merge_grants(after.values(), now),
        )


def _grant_changes(preview: PartyPreview) -> Iterator[GrantChange]:
    for decision in preview.decisions:
        if isinstance(decision, EntitlementGranted | EntitlementChanged | EntitlementRevoked):
            change = CHANGES[type(decision)]
            yield GrantChange(change=change, before=decision.before, after=decision.after)


def _add_payers(unlisted: UnlistedPrice, price: str, projection: Projection) -> None:
    users = set(_payers(price, projection))
    unlisted.users |= {user for user in users if user is not None}
    unlisted.unlinked += None in users


def _payers(price: str, projection: Projection) -> Iterable[UserId | None]:
    """Return who pays for the price; else, for a product or link, who paid for no known plan."""
    active = [row for row in projection.subscriptions.values() if row.status in _ACTIVE_STATUSES]
    paid = [row for row in projection.purchases.values() if row.status is PurchaseStatus.PAID]
    of_subscriptions = [row.user_id for row in active if price in row.prices]
    of_purchases = [row.user_id for row in paid if row.price == price]
    return of_subscriptions + of_purchases or [row.user_id for row in paid if row.plan_code is None]
