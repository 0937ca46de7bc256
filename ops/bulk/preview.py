"""Preview a replay: the ledger decides every event as it would, then rolls back.

Events of one party share a transaction, so that each decision sees the changes of the one before.
Parties are independent, so many small transactions give the same result as a large one, without
its locks.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Final, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from billing.envelope import Envelope
from billing.errors import MalformedEvent
from billing.ids import ObjectKey, PartyId
from billing.rows import EntitlementRow, PaymentRow
from models.tables import Membership
from ops.batches import chunks
from ops.bulk.results import ReplayResults, ReplayStatus
from ops.bulk.run import status_of_outcome
from ops.bulk.targets import Target
from runtime.database.one_of import one_of
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
from runtime.ledger.deployment import ledger_of
from runtime.ledger.load import keys_stated_by
from runtime.ledger.observed import with_stored_fetches
from runtime.ledger.parties import Grouping
from runtime.ledger.prepare import Scope, prepare
from runtime.ledger.record import DeliveryPreview
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


@dataclass(slots=True, kw_only=True)
class ReplayPreview:
    """The status that every event would get, and the rows that would change."""

    results: ReplayResults = field(default_factory=ReplayResults)
    entitlements: NetChanges[EntitlementRow] = field(default_factory=NetChanges)
    payments: NetChanges[PaymentRow] = field(default_factory=NetChanges)
    rows: Counter[str] = field(default_factory=Counter)
    """Rows that would be written or deleted, by table."""

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


class ReplayPreviewer:
    """Previews one replay and changes nothing; ``preview`` is the growing result."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.engine = engine
        self.scope = Scope.of(settings)
        self.ledger = ledger_of(settings, engine)
        self.preview = ReplayPreview()

    def run(self, targets: Sequence[Target], report: Callable[[ReplayPreview], None]) -> None:
        """Preview all targets; call ``report`` after each batch."""
        for batch in self._batches(targets):
            for delivery, decided in self._previews(self._deliveries(batch)):
                status, detail = status_of_outcome(decided.outcome, decided.reason)
                self.preview.results.record(delivery.key, status, detail)
                self.preview.add_decisions(decided.decisions)
            report(self.preview)

    def _batches(self, targets: Sequence[Target]) -> Iterator[list[Target]]:
        """Yield all events of a party together; parties are joined up to a batch of 100."""
        parties = self._parties(self._mentions(targets))

        def party_of(target: Target) -> str:
            return parties[target.key]

        known = sorted((each for each in targets if each.key in parties), key=party_of)
        batch: list[Target] = []
        for _, party in groupby(known, key=party_of):
            batch += party
            if len(batch) >= BATCH_SIZE:
                yield batch
                batch = []
        yield batch

    def _mentions(self, targets: Sequence[Target]) -> dict[str, frozenset[ObjectKey]]:
        """Return the objects that each event mentions; record those that are not tried."""
        return {
            prepared.delivery.key: prepared.mentions
            for some in chunks(targets, BATCH_SIZE)
            for prepared in prepare(self._deliveries(some), self.scope)
        }

    def _parties(self, named: Mapping[str, frozenset[ObjectKey]]) -> dict[str, str]:
        with self.engine.connect() as connection:
            stated = _in_chunks(named, lambda some: keys_stated_by(connection, some))
            mentions = {key: named[key] | stated.get(key, frozenset()) for key in named}
            every = frozenset[ObjectKey]().union(*mentions.values())
            grouping = Grouping(_in_chunks(every, lambda some: _memberships(connection, some)))
        for keys in filter(None, mentions.values()):
            grouping.assign_party(keys)
        return {key: grouping.party_of(min(keys)) if keys else "" for key, keys in mentions.items()}

    def _deliveries(self, targets: Sequence[Target]) -> list[Delivery]:
        return with_stored_fetches(self.engine, [*self._parsed(targets)])

    def _parsed(self, targets: Sequence[Target]) -> Iterator[Delivery]:
        dead = [target.key for target in targets if target.is_dead_letter]
        settled = [target.key for target in targets if not target.is_dead_letter]
        with self.engine.connect() as connection:
            stored = connection.execute(_STORED, {"dead": dead, "settled": settled})
            rows = {row.key: row for row in stored}
        for target in targets:
            row = rows[target.key]
            if row.error_type == CRASH_LOOP:
                self.preview.results.record(target.key, ReplayStatus.NOT_TRIED, NOT_TRIED)
                continue
            try:
                envelope = parse(row.payload.encode())
            except MalformedEvent as error:
                detail = f"{type(error).__name__}: {error}"
                self.preview.results.record(target.key, ReplayStatus.FAILED, detail)
                continue
            yield preview_delivery(envelope, target.key, REPLAY, undoes_discard=row.discarded_at)

    def _previews(self, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, DeliveryPreview]]:
        """Preview all events together; if that fails, leave out those that fail on their own."""
        together = self._preview(deliveries)
        if not isinstance(together, str):
            return together
        alone = []
        for delivery in deliveries:
            decided = self._preview([delivery])
            if isinstance(decided, str):
                self.preview.results.record(delivery.key, ReplayStatus.FAILED, decided)
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


def preview_delivery(
    envelope: Envelope, key: str, origin: str, *, undoes_discard: datetime | None = None
) -> Delivery:
    """Return an event as it would be delivered from the inbox now."""
    return Delivery(
        envelope=envelope,
        received_at=datetime.now(UTC),
        attempts=1,
        origin=origin,
        key=key,
        undoes_discard=undoes_discard,
    )


def _memberships(connection: Connection, keys: Sequence[ObjectKey]) -> Mapping[ObjectKey, PartyId]:
    query = sa.select(Membership.object_key, Membership.party)
    rows = connection.execute(query.where(one_of(Membership.object_key, keys)))
    return {ObjectKey(key): PartyId(party) for key, party in rows}


K = TypeVar("K", bound=str)
V = TypeVar("V")


def _in_chunks(keys: Iterable[K], query: Callable[[Sequence[K]], Mapping[K, V]]) -> dict[K, V]:
    found: dict[K, V] = {}
    for some in chunks(sorted(keys), 1000):
        found.update(query(some))
    return found


_STORED = sa.text(
    "SELECT event_id AS key, payload, error_type,"
    " CASE state WHEN 'discarded' THEN resolved_at END AS discarded_at"
    " FROM dead_letters WHERE event_id = ANY(:dead)"
    " UNION ALL"
    " SELECT id, payload, NULL, NULL FROM stripe_events WHERE id = ANY(:settled)"
)
