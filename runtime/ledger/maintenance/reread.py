"""Settled events read again: what today's readers find replaces the facts stated before.

It does what a replay does, for many events at once and without the inbox. What Stripe's API showed
for an event is read again with it, and what it showed for none is read again by itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from billing.archiving.archive import FactKey
from billing.errors import MalformedEvent
from billing.facts import Fact, is_observation
from billing.fetching.observations import Observations
from billing.ids import EventId, ObjectKey
from billing.readers.registry import IgnoredReason
from billing.readers.search_terms import Term
from runtime.event_body import parse
from runtime.ledger.admit import resettle
from runtime.ledger.batch_state import BatchState, PartyState
from runtime.ledger.deliveries import DISCARDED, REPLAY, Delivery, Outcome
from runtime.ledger.errors import RealmExcluded
from runtime.ledger.load import keys_stated_by
from runtime.ledger.locks import Secured
from runtime.ledger.observe import ObservedObject, load_unasked, prepare_observed
from runtime.ledger.observed import load_observations
from runtime.ledger.prepare import Prepared, Scope, prepare
from runtime.ledger.write import PendingWrites

EXCLUDED: Final = frozenset(
    {IgnoredReason.WRONG_MODE, IgnoredReason.UNKNOWN_ACCOUNT, IgnoredReason.UNKNOWN_CONTEXT}
)
NOT_OURS: Final = "the settings here exclude it, though it was counted: replay it to drop it"


class Restatement(NamedTuple):
    """The facts of an event by today's readers, or of an observation that no event asked for.

    ``statements`` are the ids under which they are stored. ``ignored`` is the reason why an event
    has none.
    """

    id: EventId
    statements: frozenset[EventId]
    facts: tuple[Fact, ...]
    terms: frozenset[Term]
    ignored: str | None = None

    @property
    def mentions(self) -> frozenset[ObjectKey]:
        """Every object that they name."""
        return frozenset(key for fact in self.facts for key in (fact.object_key, *fact.mentions))


@dataclass(frozen=True, slots=True, kw_only=True)
class RereadBodies:
    """Bodies as today's readers read them, and the reasons why others cannot be read."""

    read: Sequence[Restatement]
    kept: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """Bodies that are about to state their facts again, the rows of events locked."""

    read: Sequence[Restatement]
    kept: Mapping[str, str]
    stated: Mapping[str, frozenset[ObjectKey]]
    rows: Mapping[str, Any]
    """``outcome`` and ``reason`` of each event by id."""

    @classmethod
    def of(cls, connection: Connection, bodies: RereadBodies) -> "Reread":
        """Lock the events in the order in which replays do, and leave out those that must stay."""
        ids = [each.id for each in bodies.read]
        rows = {row.id: row for row in connection.execute(_HOLD, {"ids": ids})}
        statements = (each.statements for each in bodies.read)
        stated = keys_stated_by(connection, frozenset[str]().union(*statements))
        kept, read = dict(bodies.kept), []
        for each in bodies.read:
            if each.ignored in EXCLUDED and not stated.keys().isdisjoint(each.statements):
                kept[each.id] = NOT_OURS
            elif each.id not in rows or rows[each.id].reason != DISCARDED:
                read.append(each)
        return cls(read=read, kept=kept, stated=stated, rows=rows)

    def mentions(self) -> list[frozenset[ObjectKey]]:
        """Return the objects that each of them names or named, without those that name none."""
        return [named for each in self.read if (named := self._mentions(each))]

    def carry_out(
        self, connection: Connection, batch: BatchState, pending: PendingWrites, secured: Secured
    ) -> None:
        """Replace the facts of everything that states something else today."""
        assignments = iter(secured.assignments)
        outcomes: dict[str, tuple[Outcome, str | None]] = {}
        for each in self.read:
            if not self._mentions(each):
                outcomes.update(self._outcome(each))
                continue
            assignment = next(assignments)
            party_state = batch.party_for(assignment)
            pending.add_terms(assignment.party, each.facts, each.terms)
            if self._replaced(party_state, each):
                pending.restated += sorted(each.statements)
                pending.facts += [(assignment.party, fact) for fact in each.facts]
                outcomes.update(self._outcome(each))
        for assignment in assignments:
            batch.party_for(assignment)
        resettle(connection, outcomes)

    def _mentions(self, read: Restatement) -> frozenset[ObjectKey]:
        return read.mentions.union(*(keys for _, keys in self._stated_by(read)))

    def _replaced(self, party_state: PartyState, read: Restatement) -> bool:
        today = {(fact.event_id, fact.object_key): fact for fact in read.facts}
        if today == self._facts(party_state, read):
            return False
        party_state.replace_facts(read.statements, read.facts)
        return True

    def _facts(self, party_state: PartyState, read: Restatement) -> dict[FactKey, Fact | None]:
        stated = [(name, key) for name, keys in self._stated_by(read) for key in keys]
        return {each: party_state.facts.get(each) for each in stated}

    def _stated_by(self, read: Restatement) -> Iterator[tuple[EventId, frozenset[ObjectKey]]]:
        """Yield the objects that the event and each of its observations stated before."""
        for each in read.statements:
            yield each, self.stated.get(each, frozenset())

    def _outcome(self, read: Restatement) -> Iterator[tuple[str, tuple[Outcome, str | None]]]:
        """Yield the outcome of an event that has another one than before."""
        row = self.rows.get(read.id)
        if row is None:
            return
        if read.facts and row.outcome == Outcome.IGNORED:
            yield read.id, (Outcome.APPLIED, None)
        elif not read.facts and row.reason != read.ignored:
            yield read.id, (Outcome.IGNORED, read.ignored)


def read_bodies_again(connection: Connection, scope: Scope, ids: Sequence[str]) -> RereadBodies:
    """Read the bodies of these events, and of observations that no event asked for.

    Call it before the transaction, since it holds no lock.
    """
    events = [each for each in ids if not is_observation(each)]
    kept: dict[str, str] = {}
    deliveries = []
    observed = load_observations(connection, events)
    for row in connection.execute(_BODIES, {"ids": events}):
        try:
            deliveries.append(_delivery(row, observed.get(row.id)))
        except MalformedEvent as error:
            kept[row.id] = str(error)
    read = []
    for each in prepare(deliveries, scope):
        if each.unreadable:
            kept[each.delivery.envelope.event_id] = str(each.unreadable)
        else:
            read.append(_event_again(each))
    unasked = load_unasked(connection, [each for each in ids if is_observation(each)])
    return RereadBodies(read=[*read, *(_unasked_again(each, scope) for each in unasked)], kept=kept)


def _event_again(prepared: Prepared) -> Restatement:
    return Restatement(
        id=prepared.delivery.envelope.event_id,
        statements=prepared.delivery.statement_ids,
        facts=prepared.facts,
        terms=prepared.terms,
        ignored=prepared.ignored,
    )


def _unasked_again(observed: ObservedObject, scope: Scope) -> Restatement:
    name = observed.observation.id
    try:
        prepared = prepare_observed(observed, scope)
    except RealmExcluded:
        return Restatement(name, frozenset({name}), (), frozenset(), IgnoredReason.UNKNOWN_ACCOUNT)
    return Restatement(name, frozenset({name}), prepared.facts, prepared.terms)


def _delivery(row: Any, observations: Observations | None) -> Delivery:
    return Delivery(
        envelope=parse(row.payload.encode()),
        received_at=row.received_at,
        attempts=row.attempts,
        origin=REPLAY,
        key=row.id,
        observations=observations,
    )


_BODIES = text(
    "SELECT id, payload, received_at, attempts FROM stripe_events WHERE id = ANY(:ids) ORDER BY id"
)
_HOLD = text(
    "SELECT id, outcome, reason FROM stripe_events WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
)
