"""Settled events read again: what today's readers find replaces the facts stated before.

It does what a replay does, for many events at once and without the inbox. What Stripe's API showed
for an event is read again with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from billing.archiving.archive import FactKey
from billing.errors import MalformedEvent
from billing.facts import Fact
from billing.fetching.observations import Observations
from billing.ids import EventId, ObjectKey
from billing.readers.registry import IgnoredReason
from runtime.event_body import parse
from runtime.ledger.admit import resettle
from runtime.ledger.batch_state import BatchState, PartyState
from runtime.ledger.deliveries import DISCARDED, REPLAY, Delivery, Outcome
from runtime.ledger.load import keys_stated_by
from runtime.ledger.locks import Secured
from runtime.ledger.observed import load_observations
from runtime.ledger.prepare import Prepared, Scope, prepare
from runtime.ledger.write import PendingWrites

EXCLUDED: Final = frozenset(
    {IgnoredReason.WRONG_MODE, IgnoredReason.UNKNOWN_ACCOUNT, IgnoredReason.UNKNOWN_CONTEXT}
)
NOT_OURS: Final = "the settings here exclude it, though it was counted: replay it to drop it"


@dataclass(frozen=True, slots=True, kw_only=True)
class RereadBodies:
    """Events as today's readers read them, and the reasons why others cannot be read."""

    prepared: Sequence[Prepared]
    kept: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """Settled events that are about to state their facts again, their rows locked."""

    prepared: Sequence[Prepared]
    kept: Mapping[str, str]
    stated: Mapping[str, frozenset[ObjectKey]]
    rows: Mapping[str, Any]
    """``outcome`` and ``reason`` of each event by id."""

    @classmethod
    def of(cls, connection: Connection, bodies: RereadBodies) -> "Reread":
        """Lock the events in the order in which replays do, and leave out those that must stay."""
        ids = [_id(each) for each in bodies.prepared]
        rows = {row.id: row for row in connection.execute(_HOLD, {"ids": ids})}
        statements = (each.delivery.statement_ids for each in bodies.prepared)
        stated = keys_stated_by(connection, frozenset[str]().union(*statements))
        kept, prepared = dict(bodies.kept), []
        for each in bodies.prepared:
            if why := _why_kept(each, stated):
                kept[_id(each)] = why
            elif rows[_id(each)].reason != DISCARDED:
                prepared.append(each)
        return cls(prepared=prepared, kept=kept, stated=stated, rows=rows)

    def mentions(self) -> list[frozenset[ObjectKey]]:
        """Return the objects that each event names or named, without events that name none."""
        return [named for each in self.prepared if (named := self._mentions(each))]

    def carry_out(
        self, connection: Connection, batch: BatchState, pending: PendingWrites, secured: Secured
    ) -> None:
        """Replace the facts of every event that states something else today."""
        assignments = iter(secured.assignments)
        outcomes: dict[str, tuple[Outcome, str | None]] = {}
        for each in self.prepared:
            if not self._mentions(each):
                outcomes.update(self._outcome(each))
                continue
            assignment = next(assignments)
            party_state = batch.party_for(assignment)
            pending.add_terms(assignment.party, each.facts, each.terms)
            if self._replaced(party_state, each):
                pending.restated += sorted(each.delivery.statement_ids)
                pending.facts += [(assignment.party, fact) for fact in each.facts]
                outcomes.update(self._outcome(each))
        for assignment in assignments:
            batch.party_for(assignment)
        resettle(connection, outcomes)

    def _mentions(self, prepared: Prepared) -> frozenset[ObjectKey]:
        return prepared.mentions.union(*(keys for _, keys in self._stated_by(prepared)))

    def _replaced(self, party_state: PartyState, prepared: Prepared) -> bool:
        today = {(fact.event_id, fact.object_key): fact for fact in prepared.facts}
        if today == self._facts(party_state, prepared):
            return False
        party_state.replace_facts(prepared.delivery.statement_ids, prepared.facts)
        return True

    def _facts(self, party_state: PartyState, prepared: Prepared) -> dict[FactKey, Fact | None]:
        stated = [(name, key) for name, keys in self._stated_by(prepared) for key in keys]
        return {each: party_state.facts.get(each) for each in stated}

    def _stated_by(self, prepared: Prepared) -> Iterator[tuple[EventId, frozenset[ObjectKey]]]:
        """Yield the objects that the event and each of its observations stated before."""
        for each in prepared.delivery.statement_ids:
            yield each, self.stated.get(each, frozenset())

    def _outcome(self, prepared: Prepared) -> Iterator[tuple[str, tuple[Outcome, str | None]]]:
        event_id = _id(prepared)
        row = self.rows[event_id]
        if prepared.facts and row.outcome == Outcome.IGNORED:
            yield event_id, (Outcome.APPLIED, None)
        elif not prepared.facts and row.reason != prepared.ignored:
            yield event_id, (Outcome.IGNORED, prepared.ignored)


def read_bodies_again(connection: Connection, scope: Scope, ids: Sequence[str]) -> RereadBodies:
    """Read the bodies of these events; call it before the transaction, since it holds no lock."""
    kept: dict[str, str] = {}
    deliveries = []
    observed = load_observations(connection, ids)
    for row in connection.execute(_BODIES, {"ids": list(ids)}):
        try:
            deliveries.append(_delivery(row, observed.get(row.id)))
        except MalformedEvent as error:
            kept[row.id] = str(error)
    return RereadBodies(prepared=prepare(deliveries, scope), kept=kept)


def _delivery(row: Any, observations: Observations | None) -> Delivery:
    return Delivery(
        envelope=parse(row.payload.encode()),
        received_at=row.received_at,
        attempts=row.attempts,
        origin=REPLAY,
        key=row.id,
        observations=observations,
    )


def _why_kept(prepared: Prepared, stated: Mapping[str, object]) -> str | None:
    """Return why an event must keep its facts; None if they may be replaced."""
    if prepared.unreadable:
        return str(prepared.unreadable)
    if prepared.ignored in EXCLUDED and not stated.keys().isdisjoint(
        prepared.delivery.statement_ids
    ):
        return NOT_OURS
    return None


def _id(prepared: Prepared) -> str:
    return prepared.delivery.envelope.event_id


_BODIES = text(
    "SELECT id, payload, received_at, attempts FROM stripe_events WHERE id = ANY(:ids) ORDER BY id"
)
_HOLD = text(
    "SELECT id, outcome, reason FROM stripe_events WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
)
