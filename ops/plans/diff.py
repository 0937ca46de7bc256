"""Find the users whose access other plans would change: project every party, write nothing.

All users are counted; the first ``limit`` are kept with their access before and after.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Engine

from billing.catalogue import Catalogue
from billing.ids import PartyId, PlanCode, UserId
from billing.projection.effective import merge_grants, with_changes
from billing.rows import Projection, PurchaseStatus
from ops.plans.purchases import (
    PurchaseMove,
    RevivedPurchase,
    purchase_moves,
    revived_purchases,
)
from ops.queries.audit_history import database_now
from ops.queries.rows import GrantChange, load_grants
from runtime.ledger.decisions import EntitlementChanged, EntitlementGranted, EntitlementRevoked
from runtime.ledger.maintenance.preview import PartyPreview, preview_parties

_ACTIVE_STATUSES: Final = frozenset({"active", "trialing", "past_due"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """One user: all features before and after, and the changed grants."""

    user_id: UserId
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    grants: tuple[GrantChange, ...]


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
    moves: Counter[tuple[PlanCode | None, PlanCode | None]] = field(default_factory=Counter)
    """The purchases whose plan changes, by the plans before and after."""
    shown_moves: list[PurchaseMove] = field(default_factory=list)
    """The first ``limit`` of them."""
    revived: int = 0
    """The purchases that had ended and begin again, which ``plans apply`` refuses."""
    shown_revived: list[RevivedPurchase] = field(default_factory=list)
    """The first ``limit`` of them."""
    updating: int = 0
    """The parties whose old payments still follow an earlier change in steps."""
    _shown: dict[UserId, list[GrantChange]] = field(default_factory=dict)

    def add_parties(self, engine: Engine, parties: list[PartyId]) -> None:
        """Add some parties, on a connection of their own."""
        with engine.connect() as connection:
            self.add(connection, parties)

    def add(self, connection: Connection, parties: list[PartyId]) -> None:
        """Add some parties."""
        for each in preview_parties(connection, self.catalogue, parties):
            self._add(each)
        self.parties += len(parties)

    def shown(self, connection: Connection) -> Iterator[UserChange]:
        """Yield the users that are kept in detail, sorted by id."""
        now = database_now(connection)
        current = load_grants(connection, self._shown)
        for user_id, changes in sorted(self._shown.items()):
            grants = current.get(user_id, {})
            after = with_changes(grants, ((change.before, change.after) for change in changes))
            yield UserChange(
                user_id=user_id,
                before=merge_grants(grants.values(), now),
                after=merge_grants(after.values(), now),
                grants=tuple(changes),
            )

    def _add(self, preview: PartyPreview) -> None:
        for each in preview.decisions:
            if isinstance(each, EntitlementGranted | EntitlementChanged | EntitlementRevoked):
                self._add_change(GrantChange.of(each))
        self._add_purchases(preview)
        for price in preview.projection.unknown_prices:
            unlisted = self.unknown.setdefault(price, UnlistedPrice())
            users = set(_payers(price, preview.projection))
            unlisted.users |= {user for user in users if user is not None}
            unlisted.unlinked += None in users

    def _add_purchases(self, preview: PartyPreview) -> None:
        for move in purchase_moves(preview):
            self.moves[move.before, move.after] += 1
            if len(self.shown_moves) < self.limit:
                self.shown_moves.append(move)
        for each in revived_purchases(preview):
            self.revived += 1
            if len(self.shown_revived) < self.limit:
                self.shown_revived.append(each)

    def _add_change(self, change: GrantChange) -> None:
        self.changes[change.change] += 1
        self.users.add(change.user_id)
        if change.user_id in self._shown or len(self._shown) < self.limit:
            self._shown.setdefault(change.user_id, []).append(change)


def _payers(price: str, projection: Projection) -> Iterable[UserId | None]:
    """Return who pays for the price; else, for a product or link, who paid for no known plan."""
    active = [row for row in projection.subscriptions.values() if row.status in _ACTIVE_STATUSES]
    paid = [row for row in projection.purchases.values() if row.status is PurchaseStatus.PAID]
    of_subscriptions = [row.user_id for row in active if price in row.prices]
    of_purchases = [row.user_id for row in paid if row.price == price]
    return of_subscriptions + of_purchases or [row.user_id for row in paid if row.plan_code is None]
