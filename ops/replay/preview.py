"""What a replay would change, for the whole set: the ledger's own decisions, rolled back.

Events that belong together are decided together, in one transaction of which nothing stays, so
that what one of them would change is known to the next. Parties do not touch each other, so many
small transactions tell the same as one that would hold the locks of everybody.
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
from ops.replay.run import Fate, Told, fate_of_outcome
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
from runtime.ledger.load import keys_stated_by
from runtime.ledger.parties import Grouping
from runtime.ledger.prepare import Scope, enter
from runtime.ledger.record import Foreseen, Ledger
from runtime.settings import Settings

AT_ONCE: Final = 100
CRASH_LOOP: Final = "crash_loop"
NOT_TRIED: Final = "it ended its workers, and would end this command: only a real replay tries it"

R = TypeVar("R", EntitlementRow, PaymentRow)


@dataclass(slots=True)
class Net(Generic[R]):
    """The first state and the last of each row, whatever it was in between or is called now."""

    _pairs: dict[tuple[str, ...], tuple[R | None, R | None]] = field(default_factory=dict)

    def change(self, before: R | None, after: R | None) -> None:
        """One step further."""
        row = after or before
        if row is None:
            return
        came_from = before or row
        first = self._pairs.pop(came_from.key, (before, None))[0]
        self._pairs[row.key] = (first, after)

    def pairs(self) -> list[tuple[R | None, R | None]]:
        """Before and after, where they differ."""
        changed = ((key, pair) for key, pair in self._pairs.items() if pair[0] != pair[1])
        return [pair for _, pair in sorted(changed, key=lambda each: each[0])]


@dataclass(slots=True)
class Foresight:
    """What would become of every event, and of the books."""

    told: dict[str, Told] = field(default_factory=dict)
    entitlements: Net[EntitlementRow] = field(default_factory=Net)
    payments: Net[PaymentRow] = field(default_factory=Net)
    rows: Counter[str] = field(default_factory=Counter)
    """Rows that would be written or deleted, by table."""

    def counts(self) -> Counter[Fate]:
        """How many events would have which fate."""
        return Counter(told.fate for told in self.told.values())

    def tell(self, key: str, fate: Fate, says: str = "") -> None:
        """What would become of one event."""
        self.told[key] = Told(key=key, fate=fate, says=says)

    def follow(self, decisions: Iterable[Decision]) -> None:
        """Take in what follows from one event."""
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
class Seer:
    """Looks at what a replay on somebody's word would do, and leaves nothing behind."""

    engine: Engine
    ledger: Ledger
    scope: Scope
    now: datetime
    actor: str
    reason: str | None

    @classmethod
    def of(cls, settings: Settings, engine: Engine, **asked: Any) -> "Seer":
        """The seer of a deployment, which counts the modes and accounts that workers count."""
        livemode, accounts = settings.effective_livemode(), settings.connect_accounts
        return cls(
            engine=engine,
            ledger=Ledger(engine, livemode=livemode, accounts=accounts),
            scope=Scope(livemode=livemode, accounts=accounts),
            **asked,
        )

    def foresee(self, targets: Sequence[Target], show: Callable[[Foresight], None]) -> Foresight:
        """The whole set; ``show`` sees it grow."""
        foresight = Foresight()
        for batch in self._batches(targets, foresight):
            deliveries = self._deliveries(batch, foresight)
            for delivery, foreseen in self._previews(deliveries, foresight):
                foresight.tell(delivery.key, *fate_of_outcome(foreseen.outcome, foreseen.reason))
                foresight.follow(foreseen.decisions)
            show(foresight)
        return foresight

    def _batches(self, targets: Sequence[Target], foresight: Foresight) -> Iterator[list[Target]]:
        """Together what belongs together, however much that is; else some hundred at a time."""
        named = self._named(targets, foresight)
        parties = self._parties(named)
        known = [target for target in targets if target.key in named]
        batch: list[Target] = []
        for _, party in groupby(
            sorted(known, key=lambda each: parties[each.key]), key=lambda each: parties[each.key]
        ):
            batch += party
            if len(batch) >= AT_ONCE:
                yield batch
                batch = []
        yield batch

    def _named(
        self, targets: Sequence[Target], foresight: Foresight
    ) -> dict[str, frozenset[ObjectKey]]:
        """The objects that each event names today; those that are not tried are told at once."""
        named: dict[str, frozenset[ObjectKey]] = {}
        for start in range(0, len(targets), AT_ONCE):
            some = targets[start : start + AT_ONCE]
            for entering in enter(self._deliveries(some, foresight), self.scope):
                named[entering.delivery.key] = entering.mentions
        return named

    def _parties(self, named: Mapping[str, frozenset[ObjectKey]]) -> dict[str, str]:
        with self.engine.connect() as connection:
            stated = _by_some(named, lambda some: keys_stated_by(connection, some))
            mentions = {key: named[key] | stated.get(key, frozenset()) for key in named}
            every = frozenset[ObjectKey]().union(*mentions.values())
            grouping = Grouping(_by_some(every, lambda some: _memberships(connection, some)))
        for keys in filter(None, mentions.values()):
            grouping.land(keys)
        return {key: grouping.party_of(min(keys)) if keys else "" for key, keys in mentions.items()}

    def _deliveries(self, targets: Sequence[Target], foresight: Foresight) -> list[Delivery]:
        return self.ledger.recalled([*self._parsed(targets, foresight)])

    def _parsed(self, targets: Sequence[Target], foresight: Foresight) -> Iterator[Delivery]:
        with self.engine.connect() as connection:
            bodies = _bodies(connection, targets)
        for target in targets:
            payload, error_type = bodies[target]
            if target.buried and error_type == CRASH_LOOP:
                foresight.tell(target.key, Fate.NOT_TRIED, NOT_TRIED)
                continue
            try:
                envelope = parse(payload.encode())
            except MalformedEvent as error:
                foresight.tell(target.key, Fate.FAILED, f"{type(error).__name__}: {error}")
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
        self, deliveries: Sequence[Delivery], foresight: Foresight
    ) -> list[tuple[Delivery, Foreseen]]:
        """All together; if that fails, without those that fail by themselves."""
        together = self._preview(deliveries)
        if not isinstance(together, str):
            return together
        alone = []
        for delivery in deliveries:
            foreseen = self._preview([delivery])
            if isinstance(foreseen, str):
                foresight.tell(delivery.key, Fate.FAILED, foreseen)
            else:
                alone += foreseen
        rest = self._preview([delivery for delivery, _ in alone])
        # Two that are well by themselves may exclude each other: two bodies under one new id.
        return alone if isinstance(rest, str) else rest

    def _preview(self, deliveries: Sequence[Delivery]) -> list[tuple[Delivery, Foreseen]] | str:
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
    buried = {"keys": [target.key for target in targets if target.buried]}
    settled = {"keys": [target.key for target in targets if not target.buried]}
    return {
        **{
            Target(key=row.event_id, buried=True): (row.payload, row.error_type)
            for row in connection.execute(_LETTERS, buried)
        },
        **{
            Target(key=row.id, buried=False): (row.payload, None)
            for row in connection.execute(_EVENTS, settled)
        },
    }


def _memberships(connection: Connection, keys: Sequence[ObjectKey]) -> Mapping[ObjectKey, PartyId]:
    query = sa.select(Membership.object_key, Membership.party)
    rows = connection.execute(query.where(Membership.object_key.in_(keys)))
    return {ObjectKey(key): PartyId(party) for key, party in rows}


K = TypeVar("K", bound=str)
V = TypeVar("V")


def _by_some(keys: Iterable[K], ask: Callable[[Sequence[K]], Mapping[K, V]]) -> dict[K, V]:
    every = sorted(keys)
    found: dict[K, V] = {}
    for start in range(0, len(every), 1000):
        found.update(ask(every[start : start + 1000]))
    return found


_LETTERS = sa.text(
    "SELECT event_id, payload, error_type FROM dead_letters WHERE event_id = ANY(:keys)"
)
_EVENTS = sa.text("SELECT id, payload FROM stripe_events WHERE id = ANY(:keys)")
