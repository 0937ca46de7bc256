"""Preview a replay: the ledger decides every event as it would, then rolls back.

Events of one party share a transaction, so that each decision sees the changes of the one before.
Parties are independent, so many small transactions give the same result as a large one, without
its locks.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Final, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from billing.errors import MalformedEvent
from billing.ids import ObjectKey, PartyId
from billing.rows import EntitlementRow, PaymentRow
from models.tables import Membership
from ops.replay.run import ReplayResult, ReplayStatus, status_of_outcome
from ops.replay.targets import Target
from runtime.event_body import parse
from runtime.failures.classify import Infrastructure, Outdated, classify
from runtime.ledger.decisions import (
    Decision,
    EntitlementChanged,
    EntitlementGranted,
    EntitlementRevoked,
    MoneyMoved,
    Noted,
    RowDeleted,
    RowUpserted,
)
from runtime.ledger.deliveries import REPLAY, Delivery
from runtime.ledger.fetched import with_stored_fetches
from runtime.ledger.load import keys_stated_by
from runtime.ledger.parties import Grouping
from runtime.ledger.prepare import Scope, prepare
from runtime.ledger.record import DeliveryPreview, Ledger
from runtime.settings import Settings

BATCH_SIZE: Final = 100
CRASH_LOOP: Final = "crash_loop"
NOT_TRIED: Final = "it crashed its workers and would crash this command: only a replay tries it"

R = TypeVar("R", EntitlementRow, PaymentRow)


@dataclass(slots=True)
class NetChanges(Generic[R]):
    """The first and the last state of each row; a row that changes its key is followed."""

    _pairs: dict[tuple[str, ...], tuple[R | None, R | None]] = field(default_factory=dict)

    def change(self, before: R | None, after: R | None) -> None:
        """Add one change of a row."""
        row = after or before
        if row is None:
            return
        came_from = before or row
        first = self._pairs.pop(came_from.key, (before, None))[0]
        self._pairs[row.key] = (first, after)

    def pairs(self) -> list[tuple[R | None, R | None]]:
        """Return the rows before and after, where the two differ."""
        changed = ((key, pair) for key, pair in self._pairs.items() if pair[0] != pair[1])
        return [pair for _, pair in sorted(changed, key=lambda each: each[0])]


@dataclass(slots=True)
class ReplayPreview:
    """The status that every event would get, and the rows that would change."""

    results: dict[str, ReplayResult] = field(default_factory=dict)
    entitlements: NetChanges[EntitlementRow] = field(default_factory=NetChanges)
    payments: NetChanges[PaymentRow] = field(default_factory=NetChanges)
    rows: Counter[str] = field(default_factory=Counter)
    """Rows that would be written or deleted, by table."""

    def counts(self) -> Counter[ReplayStatus]:
        """Return the number of events by status."""
        return Counter(result.status for result in self.results.values())

    def record(self, key: str, status: ReplayStatus, detail: str = "") -> None:
        """Record the status of one event."""
        self.results[key] = ReplayResult(key=key, status=status, detail=detail)

    def add_decisions(self, decisions: Iterable[Decision]) -> None:
        """Add the changes that one event makes."""
        for decision in decisions:
            match decision:
                case EntitlementGranted() | EntitlementChanged() | EntitlementRevoked():
                    self.entitlements.change(decision.before, decision.after)
                case MoneyMoved():
                    self.payments.change(decision.before, decision.after)
                case RowUpserted() | RowDeleted():
                    self.rows[decision.table] += 1
                case Noted():
                    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPreviewer:
    """Previews a replay for an operator and changes nothing."""

    engine: Engine
    ledger: Ledger
    scope: Scope
    now: datetime
    actor: str
    reason: str | None

    @classmethod
    def of(cls, settings: Settings, engine: Engine, **fields: Any) -> "ReplayPreviewer":
        """Return a previewer with the modes and accounts of the settings, as workers use them."""
        livemode, accounts = settings.effective_livemode(), settings.connect_accounts
        return cls(
            engine=engine,
            ledger=Ledger(engine, livemode=livemode, accounts=accounts),
            scope=Scope(livemode=livemode, accounts=accounts),
            **fields,
        )

    def preview(
        self, targets: Sequence[Target], report: Callable[[ReplayPreview], None]
    ) -> ReplayPreview:
        """Preview all targets; ``report`` gets the growing result after each batch."""
        preview = ReplayPreview()
        for batch in self._batches(targets, preview):
            deliveries = self._deliveries(batch, preview)
            for delivery, decided in self._previews(deliveries, preview):
                preview.record(delivery.key, *status_of_outcome(decided.outcome, decided.reason))
                preview.add_decisions(decided.decisions)
            report(preview)
        return preview

    def _batches(self, targets: Sequence[Target], preview: ReplayPreview) -> Iterator[list[Target]]:
        """Yield all events of a party together; parties are joined up to a batch of 100."""
        named = self._mentions(targets, preview)
        parties = self._parties(named)
        known = [target for target in targets if target.key in named]
        batch: list[Target] = []
        for _, party in groupby(
            sorted(known, key=lambda each: parties[each.key]), key=lambda each: parties[each.key]
        ):
            batch += party
            if len(batch) >= BATCH_SIZE:
                yield batch
                batch = []
        yield batch

    def _mentions(
        self, targets: Sequence[Target], preview: ReplayPreview
    ) -> dict[str, frozenset[ObjectKey]]:
        """Return the objects that each event mentions; record those that are not tried."""
        named: dict[str, frozenset[ObjectKey]] = {}
        for start in range(0, len(targets), BATCH_SIZE):
            some = targets[start : start + BATCH_SIZE]
            for prepared in prepare(self._deliveries(some, preview), self.scope):
                named[prepared.delivery.key] = prepared.mentions
        return named

    def _parties(self, named: Mapping[str, frozenset[ObjectKey]]) -> dict[str, str]:
        with self.engine.connect() as connection:
            stated = _in_batches(named, lambda some: keys_stated_by(connection, some))
            mentions = {key: named[key] | stated.get(key, frozenset()) for key in named}
            every = frozenset[ObjectKey]().union(*mentions.values())
            grouping = Grouping(_in_batches(every, lambda some: _memberships(connection, some)))
        for keys in filter(None, mentions.values()):
            grouping.assign_party(keys)
        return {key: grouping.party_of(min(keys)) if keys else "" for key, keys in mentions.items()}

    def _deliveries(self, targets: Sequence[Target], preview: ReplayPreview) -> list[Delivery]:
        return with_stored_fetches(self.engine, [*self._parsed(targets, preview)])

    def _parsed(self, targets: Sequence[Target], preview: ReplayPreview) -> Iterator[Delivery]:
        with self.engine.connect() as connection:
            bodies = _bodies(connection, targets)
        for target in targets:
            payload, error_type = bodies[target]
            if target.is_dead_letter and error_type == CRASH_LOOP:
                preview.record(target.key, ReplayStatus.NOT_TRIED, NOT_TRIED)
                continue
            try:
                envelope = parse(payload.encode())
            except MalformedEvent as error:
                preview.record(target.key, ReplayStatus.FAILED, f"{type(error).__name__}: {error}")
                continue
            yield Delivery(
                envelope=envelope,
                received_at=self.now,
                attempts=1,
                origin=REPLAY,
                key=target.key,
                actor=self.actor,
                reason=self.reason,
            )

    def _previews(
        self, deliveries: Sequence[Delivery], preview: ReplayPreview
    ) -> list[tuple[Delivery, DeliveryPreview]]:
        """Preview all events together; if that fails, leave out those that fail on their own."""
        together = self._preview(deliveries)
        if not isinstance(together, str):
            return together
        alone = []
        for delivery in deliveries:
            decided = self._preview([delivery])
            if isinstance(decided, str):
                preview.record(delivery.key, ReplayStatus.FAILED, decided)
            else:
                alone += decided
        rest = self._preview([delivery for delivery, _ in alone])
        # Two events that pass alone may exclude each other: two bodies under one new id.
        return alone if isinstance(rest, str) else rest

    def _preview(
        self, deliveries: Sequence[Delivery]
    ) -> list[tuple[Delivery, DeliveryPreview]] | str:
        if not deliveries:
            return []
        try:
            return [*zip(deliveries, self.ledger.preview(deliveries), strict=True)]
        except Exception as error:
            failure = classify(error)
            if isinstance(failure, Infrastructure | Outdated):
                raise
            return f"{failure.error_type}: {failure.reason}"


def _bodies(
    connection: Connection, targets: Sequence[Target]
) -> Mapping[Target, tuple[str, str | None]]:
    dead = {"keys": [target.key for target in targets if target.is_dead_letter]}
    settled = {"keys": [target.key for target in targets if not target.is_dead_letter]}
    return {
        **{
            Target(key=row.event_id, is_dead_letter=True): (row.payload, row.error_type)
            for row in connection.execute(_LETTERS, dead)
        },
        **{
            Target(key=row.id, is_dead_letter=False): (row.payload, None)
            for row in connection.execute(_EVENTS, settled)
        },
    }


def _memberships(connection: Connection, keys: Sequence[ObjectKey]) -> Mapping[ObjectKey, PartyId]:
    query = sa.select(Membership.object_key, Membership.party)
    rows = connection.execute(query.where(Membership.object_key.in_(keys)))
    return {ObjectKey(key): PartyId(party) for key, party in rows}


K = TypeVar("K", bound=str)
V = TypeVar("V")


def _in_batches(keys: Iterable[K], query: Callable[[Sequence[K]], Mapping[K, V]]) -> dict[K, V]:
    every = sorted(keys)
    found: dict[K, V] = {}
    for start in range(0, len(every), 1000):
        found.update(query(every[start : start + 1000]))
    return found


_LETTERS = sa.text(
    "SELECT event_id, payload, error_type FROM dead_letters WHERE event_id = ANY(:keys)"
)
_EVENTS = sa.text("SELECT id, payload FROM stripe_events WHERE id = ANY(:keys)")
