"""Whose access other plans would change, and how: every party projected by them, nothing written.

Counts are of all users; of the first few it is known in detail what they have before and after.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from billing.catalogue import Catalogue
from billing.ids import PartyId, UserId
from billing.projection.effective import changed, merged
from billing.rows import EntitlementRow, Key, Projection, PurchaseStatus
from ops.queries.grants import grants_of
from runtime.ledger.decisions import EntitlementChanged, EntitlementGranted, EntitlementRevoked
from runtime.ledger.maintenance.preview import Outlook, outlook
from runtime.ledger.write import CHANGES

_LIVING: Final = frozenset({"active", "trialing", "past_due"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantChange:
    """One grant that other plans change: granted, changed or revoked."""

    change: str
    before: EntitlementRow | None
    after: EntitlementRow | None

    @property
    def row(self) -> EntitlementRow:
        """The grant as it would be, else as it was."""
        row = self.after or self.before
        assert row is not None, "a change has at least one side"  # noqa: S101 - for the reader
        return row


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """One user: what becomes of which grant, and all that may be used before and after."""

    user_id: UserId
    grants: tuple[GrantChange, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(slots=True)
class Waiting:
    """Who has paid for what no plan sells; some of them nobody knows as a user yet."""

    users: set[UserId] = field(default_factory=set)
    unlinked: int = 0


@dataclass(slots=True, kw_only=True)
class PlansDiff:
    """What was found so far; ``limit`` is of how many users it is known in detail."""

    catalogue: Catalogue
    limit: int
    parties: int = 0
    users: set[UserId] = field(default_factory=set)
    changes: Counter[str] = field(default_factory=Counter)
    unknown: dict[str, Waiting] = field(default_factory=dict)
    _shown: dict[UserId, list[GrantChange]] = field(default_factory=dict)

    def look(self, engine: Engine, parties: list[PartyId]) -> None:
        """Take in some more parties."""
        with engine.connect() as connection:
            for each in outlook(connection, self.catalogue, parties):
                self._take(each)
        self.parties += len(parties)

    def shown(self, connection: Connection) -> Iterator[UserChange]:
        """The users known in detail, by name."""
        now = connection.execute(text("SELECT now()")).scalar_one()
        standing = grants_of(connection, self._shown)
        for user_id, changes in sorted(self._shown.items()):
            yield self._user(user_id, changes, standing.get(user_id, {}), now)

    def _take(self, seen: Outlook) -> None:
        for change in _decided(seen):
            self.changes[change.change] += 1
            self._note(change)
        for price in seen.projection.unknown_prices:
            _wait(self.unknown.setdefault(price, Waiting()), price, seen.projection)

    def _note(self, change: GrantChange) -> None:
        user_id = change.row.user_id
        self.users.add(user_id)
        if user_id in self._shown or len(self._shown) < self.limit:
            self._shown.setdefault(user_id, []).append(change)

    def _user(
        self,
        user_id: UserId,
        changes: list[GrantChange],
        standing: dict[Key, EntitlementRow],
        now: datetime,
    ) -> UserChange:
        pairs = ((change.before, change.after) for change in changes)
        after = changed(standing, pairs)
        return UserChange(
            user_id=user_id,
            grants=tuple(changes),
            before=merged(standing.values(), now),
            after=merged(after.values(), now),
        )


def _decided(seen: Outlook) -> Iterator[GrantChange]:
    for decision in seen.decisions:
        if isinstance(decision, EntitlementGranted | EntitlementChanged | EntitlementRevoked):
            change = CHANGES[type(decision)]
            yield GrantChange(change=change, before=decision.before, after=decision.after)


def _wait(waiting: Waiting, price: str, projection: Projection) -> None:
    users = set(_who_waits(price, projection))
    waiting.users |= {user for user in users if user is not None}
    waiting.unlinked += None in users


def _who_waits(price: str, projection: Projection) -> Iterable[UserId | None]:
    """Who pays for it; where only a product or a link was named, who paid for nothing known."""
    living = [row for row in projection.subscriptions.values() if row.status in _LIVING]
    paid = [row for row in projection.purchases.values() if row.status is PurchaseStatus.PAID]
    of_subscriptions = [row.user_id for row in living if price in row.prices]
    of_purchases = [row.user_id for row in paid if row.price == price]
    return of_subscriptions + of_purchases or [row.user_id for row in paid if row.plan_code is None]
