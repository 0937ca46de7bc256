"""From deliveries to decisions, inside a transaction that holds every lock it needs.

The transaction writes only the rows of new events and the memberships of new objects, so rolling
it back makes it a preview.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from sqlalchemy import Connection

from billing.fetching.plan import lacks_lines, open_fetches
from billing.fetching.record import FetchTarget
from billing.ids import EventId, ObjectKey, PartyId
from runtime.ledger.admit import (
    Admitted,
    EventRow,
    OpenDeadLetter,
    Opening,
    admit,
    open_transaction,
    withdraw,
)
from runtime.ledger.batch_state import BatchState, PartyState
from runtime.ledger.catalogues import CatalogueSource
from runtime.ledger.decisions import Decision
from runtime.ledger.deliveries import ALREADY_APPLIED, DISCARDED, Outcome, superseded_by
from runtime.ledger.errors import IdentityConflict, LocksOutOfOrder
from runtime.ledger.load import Stored, keys_stated_by
from runtime.ledger.load_past import (
    NOTHING_MORE,
    ArchiveRequest,
    BatchNeeds,
    EventNeeds,
    load_past,
)
from runtime.ledger.locks import Secured, narrow, secure
from runtime.ledger.parties import PartyAssignment
from runtime.ledger.prepare import Prepared, without_discarded
from runtime.time_limits import BATCH_IDLE_SECONDS, IDLE_IN_TRANSACTION_SECONDS, LOCK_SECONDS


class DeliveryState(Enum):
    """The state of a delivery's event in the database."""

    NEW = auto()
    SETTLED = auto()
    REPLAYED = auto()
    COMPLETED = auto()
    """Settled before; this delivery brings what was fetched for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One delivery of the batch with its event's row and every object it concerns."""

    prepared: Prepared
    row: EventRow
    state: DeliveryState
    mentions: frozenset[ObjectKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One delivery and what follows from it; ``party`` is None if it concerns no party.

    ``leaves_archives`` if it changes those of its party as well, in steps.
    """

    work: Work
    outcome: Outcome
    reason: str | None
    decisions: tuple[Decision, ...] = ()
    party: PartyId | None = None
    leaves_archives: bool = False
    pending_fetches: tuple[FetchTarget, ...] = ()

    @property
    def corrects(self) -> bool:
        """True if the outcome or reason differs from the event's row and must be written."""
        if (self.outcome, self.reason) == (self.work.row.outcome, self.work.row.reason):
            return False
        return self.work.state is DeliveryState.NEW or self._replay_tells_more()

    def _replay_tells_more(self) -> bool:
        involves_ignored = Outcome.IGNORED in {self.outcome, self.work.row.outcome}
        again = self.work.state in {DeliveryState.REPLAYED, DeliveryState.COMPLETED}
        return again and involves_ignored and self.reason != ALREADY_APPLIED


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedBatch:
    """A decided batch: steps in the order of the deliveries, and the parties after the last one."""

    opening: Opening
    steps: tuple[Step, ...]
    batch: BatchState
    ends: Mapping[PartyId, PartyId]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideLimits:
    """Seconds that a transaction may wait for a lock, and may decide; ``clock`` is monotonic."""

    lock_seconds: float = LOCK_SECONDS
    deciding_seconds: float = inf
    clock: Callable[[], float] = time.monotonic


def decide(
    connection: Connection,
    prepared: Sequence[Prepared],
    catalogues: CatalogueSource,
    limits: DecideLimits,
    request: ArchiveRequest = NOTHING_MORE,
) -> DecidedBatch:
    """Admit a batch, lock and load its parties, and decide its events.

    When the time for deciding is over, the events that are left have no step and no trace in this
    transaction. The first event of the batch is always decided, so a batch never ends without one.
    ``request`` is what an earlier try turned out to need.

    Raises:
        ArchivesNeeded: the events need more than was loaded; nothing was written.
        IdentityConflict: an event of the batch has the id of another one.
        UnreadableEvent: an event of the batch is new and cannot be read.
        LocksOutOfOrder: another transaction got in between; nothing was written.
        DeadLetterChanged: an event became a dead letter meanwhile; nothing was written.
    """
    names = {name for each in prepared for name in (each.delivery.key, _event_id(each))}
    opening = _open(connection, names, limits, alone=len(prepared) == 1)
    effective = [without_discarded(each, opening.dead_letters) for each in prepared]
    admitted = admit(connection, [(each.delivery, each.ignored) for each in effective])
    _refuse_conflicts_with_dead_letters(effective, opening.dead_letters, admitted)
    works = _works(connection, effective, admitted)
    secured = secure(connection, [work.mentions for work in works if work.mentions])
    plans = catalogues.current(connection)
    until = limits.clock() + limits.deciding_seconds
    # A discard waits for the rows that `admit` inserted. What was discarded before is seen here.
    not_dead = names - opening.dead_letters.keys()
    needs = BatchNeeds([_needs(work) for work in works], plans, request, not_dead)
    stored = load_past(connection, secured, needs)
    batch = BatchState(stored, plans=plans, now=opening.now, request=request)
    steps = _steps(batch, works, _turns(works, secured, stored), lambda: limits.clock() >= until)
    batch.refuse_lacking()
    if limits.clock() >= until:
        secured = _give_back(connection, works, steps, secured)
        batch.drop_unread()
    return DecidedBatch(
        opening=opening,
        steps=tuple(steps[index] for index in sorted(steps)),
        batch=batch,
        ends=secured.ends,
    )


def _event_id(prepared: Prepared) -> EventId:
    return prepared.delivery.envelope.event_id


def _needs(work: Work) -> EventNeeds:
    again = work.state in {DeliveryState.REPLAYED, DeliveryState.COMPLETED}
    statements = work.prepared.delivery.statement_ids if again else ()
    facts = work.prepared.facts if work.mentions else ()
    return EventNeeds(mentions=work.mentions, facts=facts, restates=frozenset(statements))


def _open(
    connection: Connection, names: Iterable[str], limits: DecideLimits, *, alone: bool
) -> Opening:
    """Open the transaction; that of a batch may pause for a shorter time than an event alone."""
    return open_transaction(
        connection,
        names,
        lock_seconds=limits.lock_seconds,
        idle_seconds=IDLE_IN_TRANSACTION_SECONDS if alone else BATCH_IDLE_SECONDS,
    )


def _give_back(
    connection: Connection, works: Sequence[Work], steps: Mapping[int, Step], secured: Secured
) -> Secured:
    """Remove from the transaction what it wrote for events that have no step."""
    left = [work for index, work in enumerate(works) if index not in steps]
    # The first short statement after a long pause: the server answers it with its reason if it has
    # ended the session meanwhile. A long one fails without a reason, as in an outage.
    withdraw(connection, {each.row.id for each in left if each.state is DeliveryState.NEW})
    if not left:
        return secured
    decided = [works[index].mentions for index in sorted(steps) if works[index].mentions]
    return narrow(connection, secured, decided, [work.mentions for work in left])


def _refuse_conflicts_with_dead_letters(
    prepared: Sequence[Prepared], dead_letters: Mapping[str, OpenDeadLetter], admitted: Admitted
) -> None:
    """Raise ``IdentityConflict`` if a new event has the id of another one that is a dead letter."""
    for each in prepared:
        event_id = each.delivery.envelope.event_id
        dead_letter = dead_letters.get(event_id)
        if dead_letter and event_id in admitted.new and dead_letter.is_anothers(each.delivery):
            raise IdentityConflict(event_id)


def _works(connection: Connection, prepared: Sequence[Prepared], admitted: Admitted) -> list[Work]:
    stated = _stated_before(connection, prepared, admitted)
    seen: set[EventId] = set()
    works = []
    for each in prepared:
        event_id = each.delivery.envelope.event_id
        state = _delivery_state(each, admitted) if event_id not in seen else DeliveryState.SETTLED
        seen.add(event_id)
        works.append(_work(each, admitted, state, stated.get(event_id, frozenset())))
    return works


def _stated_before(
    connection: Connection, prepared: Sequence[Prepared], admitted: Admitted
) -> Mapping[str, frozenset[ObjectKey]]:
    """Return the objects that deliveries of settled events stated before, by event id."""
    again = {
        each.delivery.envelope.event_id: each.delivery.statement_ids
        for each in prepared
        if _delivery_state(each, admitted) in {DeliveryState.REPLAYED, DeliveryState.COMPLETED}
    }
    if not again:
        return {}
    stated = keys_stated_by(connection, frozenset().union(*again.values()))
    return {
        event_id: frozenset().union(*(stated.get(each, ()) for each in statements))
        for event_id, statements in again.items()
    }


def _delivery_state(prepared: Prepared, admitted: Admitted) -> DeliveryState:
    if prepared.delivery.envelope.event_id in admitted.new:
        return DeliveryState.NEW
    row = admitted.row(prepared.delivery.envelope.event_id)
    if prepared.ignored == DISCARDED:
        return DeliveryState.SETTLED
    if prepared.delivery.replayed:
        return DeliveryState.REPLAYED
    waits = row.pending_fetches is not None or row.observations is None
    completes = prepared.delivery.observations is not None and waits
    return DeliveryState.COMPLETED if completes else DeliveryState.SETTLED


def _work(
    prepared: Prepared, admitted: Admitted, state: DeliveryState, stated: frozenset[ObjectKey]
) -> Work:
    envelope = prepared.delivery.envelope
    row = admitted.row(envelope.event_id)
    if row.fingerprint != envelope.fingerprint:
        raise IdentityConflict(envelope.event_id)
    if state is DeliveryState.REPLAYED and _lacks_observations(prepared, row):
        raise LocksOutOfOrder((row.id,))  # fetched since the replay was read: read it again
    if state is DeliveryState.SETTLED:
        return Work(prepared=prepared, row=row, state=state, mentions=frozenset())
    if prepared.unreadable:
        raise prepared.unreadable
    mentions = prepared.mentions | stated
    return Work(prepared=prepared, row=row, state=state, mentions=mentions)


def _lacks_observations(prepared: Prepared, row: EventRow) -> bool:
    stored, known = row.observations, prepared.delivery.observation_ids
    return stored is not None and (known is None or not set(stored).issubset(known))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """An event of the batch by its place, with the number of facts that its party has."""

    size: int
    index: int
    assignment: PartyAssignment | None


def _turns(works: Sequence[Work], secured: Secured, stored: Mapping[PartyId, Stored]) -> list[Turn]:
    """Return events in the order of deciding: those of large parties last, so that none waits.

    Events of one party, or of parties that they merge, keep their order.
    """
    assignments = iter(secured.assignments)
    sizes: Counter[PartyId] = Counter()
    for party, each in stored.items():
        sizes[secured.ends.get(party, party)] += len(each.facts)
    of_event: dict[str, int] = {}
    turns = []
    for index, work in enumerate(works):
        assignment = next(assignments) if work.mentions else None
        end = assignment and secured.ends.get(assignment.party, assignment.party)
        # A second delivery of one event names no object; it comes after the first.
        size = of_event.setdefault(work.row.id, sizes[end] if end else 0)
        turns.append(Turn(size=size, index=index, assignment=assignment))
    return sorted(turns, key=lambda turn: (turn.size, turn.index))


def _steps(
    batch: BatchState,
    works: Sequence[Work],
    turns: Sequence[Turn],
    time_is_up: Callable[[], bool],
) -> dict[int, Step]:
    """Decide until the time is up, and the first event of the batch in any case."""
    steps: dict[int, Step] = {}
    of_event: dict[str, Step] = {}
    for turn in turns:
        if turn.index != 0 and time_is_up():
            continue
        work = works[turn.index]
        step = _step(batch, work, turn.assignment, of_event.get(work.row.id))
        of_event[work.row.id] = steps[turn.index] = step
    return steps


def _step(
    batch: BatchState, work: Work, assignment: PartyAssignment | None, earlier: Step | None
) -> Step:
    if work.state is DeliveryState.SETTLED:
        known = earlier or work.row
        return Step(work=work, outcome=known.outcome, reason=known.reason)
    if assignment is None:
        return Step(work=work, outcome=Outcome.IGNORED, reason=work.prepared.ignored)
    return (
        _add_event(batch, work, assignment)
        if work.state is DeliveryState.NEW
        else _replace_event(batch, work, assignment)
    )


def _add_event(batch: BatchState, work: Work, assignment: PartyAssignment) -> Step:
    party_state = batch.party_for(assignment)
    left = party_state.archives.left
    decisions = batch.add_facts(party_state, work.prepared.facts)
    newer = None if decisions else party_state.newer_than(work.prepared.facts)
    return Step(
        work=work,
        outcome=Outcome.SUPERSEDED if newer else Outcome.APPLIED,
        reason=superseded_by(newer) if newer else None,
        decisions=decisions,
        party=assignment.party,
        leaves_archives=party_state.archives.left > left,
        pending_fetches=_pending_fetches(party_state, work),
    )


def _pending_fetches(party_state: PartyState, work: Work) -> tuple[FetchTarget, ...]:
    """Return what the projection still needs from Stripe's API; nearly always nothing."""
    projection = party_state.projection
    assert projection is not None, "it was just made"  # noqa: S101 - for the reader
    facts = work.prepared.facts
    if not (
        projection.undecided
        or projection.without_line_items
        or projection.incomplete_summaries
        or projection.incomplete_items
        or any(map(lacks_lines, facts))
    ):
        return ()
    states = {fact.object_key: party_state.folded.state_of(fact).created_at for fact in facts}
    return open_fetches(facts, projection, states, work.prepared.delivery.observations or ())


def _replace_event(batch: BatchState, work: Work, assignment: PartyAssignment) -> Step:
    party_state, facts = batch.party_for(assignment), work.prepared.facts
    statements, left = work.prepared.delivery.statement_ids, party_state.archives.left
    same = party_state.stated_by(statements) == {(f.event_id, f.object_key): f for f in facts}
    decisions = batch.replace_facts(party_state, statements, facts)
    outcome, reason = Outcome.APPLIED if facts else Outcome.IGNORED, work.prepared.ignored
    if work.state is DeliveryState.COMPLETED and work.row.outcome is not Outcome.IGNORED:
        outcome, reason = work.row.outcome, work.row.reason
    elif same and not decisions:
        outcome, reason = work.row.outcome, ALREADY_APPLIED
    elif not decisions and (newer := party_state.newer_than(facts)):
        outcome, reason = Outcome.SUPERSEDED, superseded_by(newer)
    return Step(
        work=work,
        outcome=outcome,
        reason=reason,
        decisions=decisions,
        party=assignment.party,
        leaves_archives=party_state.archives.left > left,
        pending_fetches=_pending_fetches(party_state, work),
    )
