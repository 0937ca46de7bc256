"""Preview a replay: the ledger decides every event as it would, then rolls back.

Events of one party share a transaction, so that each decision sees the changes of the one before.
Parties are independent, so many small transactions give the same result as a large one, without
its locks. It goes party by party, so the first difference is there before most events are read.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from billing.envelope import Envelope
from billing.errors import MalformedEvent
from billing.ids import PartyId
from billing.rows import EntitlementRow, PaymentRow
from ops.bulk.party_groups import FEWEST_AT_ONCE, NO_PARTY, PartyGroup, PartyGroups
from ops.bulk.results import ReplayResult, ReplayResults, ReplayStatus
from ops.bulk.run import status_of_outcome
from ops.bulk.targets import Target
from runtime.event_body import parse
from runtime.failures.classify import Infrastructure, Outdated, Transient, classify
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
from runtime.ledger.observed import with_stored_fetches
from runtime.ledger.prepare import Scope
from runtime.ledger.record import DeliveryPreview
from runtime.settings import Settings

BATCH_SIZE: Final = 100
PREVIEW_LOCK_SECONDS: Final = 0.2
"""For one lock: an event that waits for a preview waits behind its transaction, which is short."""

LOCKED_TRIES: Final = 3
"""How often a party that another transaction holds is tried again, after all others."""

CRASH_LOOP: Final = "crash_loop"
NOT_TRIED: Final = "it crashed its workers and would crash this command: only a replay tries it"

R = TypeVar("R", EntitlementRow, PaymentRow)
Previewed = tuple[Delivery, DeliveryPreview]


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

    def add(self, previewed: "PreviewedParty") -> None:
        """Add what a replay would do to one party."""
        for result in previewed.results:
            self.results.add(result)
        for decided in previewed.decided:
            self.add_decisions(decided.decisions)

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
class PreviewedParty:
    """The effect of a replay on one party: of all its events that concern it."""

    party: PartyId
    results: Sequence[ReplayResult]
    """Of every event; under ``NO_PARTY`` also of those that were not tried."""
    decided: Sequence[DeliveryPreview]
    replaces: frozenset[PartyId] = frozenset()
    """Parties of which less was known when they were yielded before."""


class ReplayPreviewer:
    """Previews one replay and changes nothing; ``preview`` is the growing result of ``run``."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        *,
        lock_seconds: float = PREVIEW_LOCK_SECONDS,
        rest: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Take how long to wait for one lock; ``rest`` gets the seconds that a step took."""
        self.engine = engine
        self.scope = Scope.of(settings)
        self.ledger = ledger_of(settings, engine)
        self.preview = ReplayPreview()
        self._lock_seconds = lock_seconds
        self._rest = rest
        self._results: list[ReplayResult] = []
        self._locked: list[PartyGroup] = []

    def run(self, targets: Sequence[Target], report: Callable[[ReplayPreview], None]) -> None:
        """Preview all targets; call ``report`` after each batch."""
        for parties in self.stream(targets, at_once=max(len(targets), 1)):
            for each in parties:
                self.preview.add(each)
            report(self.preview)

    def stream(
        self, targets: Iterable[Target], *, at_once: int = FEWEST_AT_ONCE
    ) -> Iterator[list[PreviewedParty]]:
        """Yield the differences of a few parties at a time, after a look at ``at_once`` events.

        A party that another transaction holds comes again at the end. So does one that turned out
        to have more events; none does if ``at_once`` is the number of all.
        """
        for batch in self._batches(targets, at_once):
            yield self._timed(batch, last=False)
        for tries_left in reversed(range(LOCKED_TRIES)):
            locked, self._locked = self._locked, []
            for group in locked:
                yield self._timed([group], last=tries_left == 0)

    def decide(self, targets: Sequence[Target]) -> dict[str, DeliveryPreview | ReplayResult]:
        """Return what a replay of each of a few events would do now, or why that is unknown."""
        decided = self._apart(self._deliveries(targets))
        results, self._results = self._results, []
        unknown = {result.key: result for result in results}
        return unknown | {delivery.key: each for delivery, each in decided}

    def _timed(self, batch: Sequence[PartyGroup], *, last: bool) -> list[PreviewedParty]:
        began = time.monotonic()
        party_of = {target.key: group.party for group in batch for target in group.targets}
        decided: dict[PartyId, list[DeliveryPreview]] = {}
        for delivery, each in self._previews(batch, last=last):
            status, detail = status_of_outcome(each.outcome, each.reason)
            self._record(delivery.key, status, detail)
            decided.setdefault(party_of[delivery.key], []).append(each)
        results: dict[PartyId, list[ReplayResult]] = {}
        for result in self._results:
            results.setdefault(party_of.get(result.key, NO_PARTY), []).append(result)
        self._results.clear()
        self._rest(time.monotonic() - began)
        replaces = {group.party: group.replaces for group in batch}
        return [
            PreviewedParty(
                party=party,
                results=results.get(party, []),
                decided=decided.get(party, []),
                replaces=replaces.get(party, frozenset()),
            )
            for party in sorted(results.keys() | decided.keys())
        ]

    def _batches(self, targets: Iterable[Target], at_once: int) -> Iterator[list[PartyGroup]]:
        """Yield all events of a party together; parties are joined up to a batch of 100."""
        grouped = PartyGroups(engine=self.engine, scope=self.scope, read=self._deliveries)
        for groups in grouped.groups(targets, at_once=at_once):
            batch: list[PartyGroup] = []
            for group in groups:
                batch.append(group)
                if sum(len(each.targets) for each in batch) >= BATCH_SIZE:
                    yield batch
                    batch = []
            yield batch

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
                self._record(target.key, ReplayStatus.NOT_TRIED, NOT_TRIED)
                continue
            try:
                envelope = parse(row.payload.encode())
            except MalformedEvent as error:
                detail = f"{type(error).__name__}: {error}"
                self._record(target.key, ReplayStatus.FAILED, detail)
                continue
            yield preview_delivery(envelope, target.key, REPLAY, undoes_discard=row.discarded_at)

    def _record(self, key: str, status: ReplayStatus, detail: str) -> None:
        self._results.append(ReplayResult(key=key, status=status, detail=detail))

    def _previews(self, batch: Sequence[PartyGroup], *, last: bool) -> list[Previewed]:
        """Preview all parties together; if that fails, each party by itself."""
        read = [self._deliveries(group.targets) for group in batch]
        together = self._preview([delivery for deliveries in read for delivery in deliveries])
        if not isinstance(together, _Failed):
            return together
        alone = []
        for group, deliveries in zip(batch, read, strict=True):
            decided = self._preview(deliveries)
            if not isinstance(decided, _Failed):
                alone += decided
            elif decided.locked and not last:
                self._locked.append(group)
            else:
                alone += self._apart(deliveries)
        return alone

    def _apart(self, deliveries: Sequence[Delivery]) -> list[Previewed]:
        """Preview events together, without those that fail on their own."""
        together = self._preview(deliveries)
        if not isinstance(together, _Failed):
            return together
        alone = []
        for delivery in deliveries:
            decided = self._preview([delivery])
            if isinstance(decided, _Failed):
                status = ReplayStatus.LOCKED if decided.locked else ReplayStatus.FAILED
                self._record(delivery.key, status, decided.says)
            else:
                alone += decided
        rest = self._preview([delivery for delivery, _ in alone])
        # Two events that pass alone may exclude each other: two bodies under one new id.
        return alone if isinstance(rest, _Failed) else rest

    def _preview(self, deliveries: Sequence[Delivery]) -> "list[Previewed] | _Failed":
        if not deliveries:
            return []
        try:
            previews = self.ledger.preview(deliveries, self._lock_seconds)
        except Exception as error:
            failure = classify(error)
            if isinstance(failure, Infrastructure | Outdated):
                raise
            locked = isinstance(failure, Transient) and failure.locked
            return _Failed(says=f"{failure.error_type}: {failure.reason}", locked=locked)
        return [*zip(deliveries, previews, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """Events that cannot be decided together; ``locked`` if another transaction holds a lock."""

    says: str
    locked: bool


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


_STORED = sa.text(
    "SELECT event_id AS key, payload, error_type,"
    " CASE state WHEN 'discarded' THEN resolved_at END AS discarded_at"
    " FROM dead_letters WHERE event_id = ANY(:dead)"
    " UNION ALL"
    " SELECT id, payload, NULL, NULL FROM stripe_events WHERE id = ANY(:settled)"
)
