"""Record what Stripe's API showed for no event: objects that a backfill or a reconciliation read.

    prepare  read each object into facts, and refuse what does not count here
    secure   lock every party they touch, as for events
    decide   object by object in memory; what is known by an equal observation changes nothing
    write    the decisions, the audit, the facts and the observations with their exact bodies

No event is made up: ``stripe_events`` gets no row, and the observation's id stands where an event's
id would.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Literal, NamedTuple

from sqlalchemy import Connection, text

from billing.facts import API_OBSERVATION, Fact, SubscriptionFields
from billing.fetching.observations import ApiObservation
from billing.fetching.plan import open_fetches
from billing.fetching.record import FetchTarget
from billing.ids import EventId, ObjectKey, PartyId, Realm
from billing.readers.registry import read_unasked
from billing.readers.search_terms import Term, terms_shown
from billing.statuses import SUBSCRIPTION_ENDED
from runtime.ledger.admit import open_transaction
from runtime.ledger.batch_state import BatchState, PartyState
from runtime.ledger.catalogues import CatalogueSource
from runtime.ledger.decisions import Decision
from runtime.ledger.errors import ObservationTaken, RealmExcluded
from runtime.ledger.load import Stored
from runtime.ledger.load_past import ArchiveRequest, BatchNeeds, EventNeeds, load_past
from runtime.ledger.locks import secure
from runtime.ledger.observed import AskedFor, observation_of, store_observations
from runtime.ledger.parties import PartyAssignment
from runtime.ledger.prepare import Scope
from runtime.ledger.write import ChangeCause, PendingWrites, write


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedObject:
    """An object as Stripe's API showed it, with the account and mode in which it was asked for."""

    realm: Realm
    observation: ApiObservation


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveCause:
    """The person or process that has Stripe asked for objects, by which command, and why."""

    actor: str
    origin: Literal["backfill", "reconcile"]
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedChange:
    """The consequences of one object that was observed.

    ``known`` if something had stated the object before. ``unchanged`` if nothing is stored, because
    the newest thing known of it is an observation with the same body, or because it says nothing.
    ``pending_fetches`` name objects that Stripe showed in part only, or whose order is open.
    """

    observed: ObservedObject
    known: bool
    unchanged: bool
    decisions: tuple[Decision, ...] = ()
    pending_fetches: tuple[FetchTarget, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedObject:
    """An observed object as facts; it may state none."""

    observed: ObservedObject
    facts: tuple[Fact, ...]
    terms: frozenset[Term]

    @property
    def id(self) -> EventId:
        """The id of the observation."""
        return self.observed.observation.id

    @property
    def key(self) -> ObjectKey:
        """The key of the object itself, which states something."""
        return self.facts[0].object_key

    @property
    def mentions(self) -> frozenset[ObjectKey]:
        """Every object it names."""
        return frozenset(key for fact in self.facts for key in (fact.object_key, *fact.mentions))


class Stated(NamedTuple):
    """An object that states something new: its party, and if that leaves archives to steps."""

    prepared: PreparedObject
    party: PartyId
    decisions: tuple[Decision, ...]
    leaves_archives: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedObjects:
    """Observed objects that are decided: a change for each, and what is to be written."""

    changes: tuple[ObservedChange, ...]
    stated: tuple[Stated, ...]
    batch: BatchState
    ends: Mapping[PartyId, PartyId]


def prepare_observed(observed: ObservedObject, scope: Scope) -> PreparedObject:
    """Read an object.

    Raises:
        RealmExcluded: its account or its mode does not count.
    """
    if not scope.counts(observed.realm):
        raise RealmExcluded(observed.realm)
    facts = read_unasked(observed.realm, observed.observation)
    terms = terms_shown((observed.observation,)) if facts else frozenset[Term]()
    return PreparedObject(observed=observed, facts=facts, terms=terms)


def load_unasked(connection: Connection, ids: Sequence[str]) -> Iterator[ObservedObject]:
    """Yield those of these observations that no event asked for, in the order of their ids."""
    for row in connection.execute(_UNASKED, {"ids": list(ids)}):
        yield ObservedObject(realm=Realm(row.realm), observation=observation_of(row))


_UNASKED = text(
    "SELECT * FROM api_observations WHERE id = ANY(:ids) AND event_id IS NULL ORDER BY id"
)


def decide_observed(
    connection: Connection,
    prepared: Sequence[PreparedObject],
    catalogues: CatalogueSource,
    request: ArchiveRequest,
) -> DecidedObjects:
    """Lock and load the parties of these objects, and decide what follows from them.

    The objects of one party are decided together, as what they show is true at once.

    Raises:
        ArchivesNeeded: they need more than was loaded; nothing was written.
        LocksOutOfOrder: another transaction got in between; nothing was written.
    """
    opening = open_transaction(connection)
    objects = _without_unknown(connection, prepared)
    speaking = [each for each in objects if each.facts]
    secured = secure(connection, [each.mentions for each in speaking])
    plans = catalogues.current(connection)
    needs = BatchNeeds([_needs(each) for each in speaking], plans, request, ())
    stored = load_past(connection, secured, needs)
    known = KnownObjects(connection, stored, speaking)
    batch = BatchState(stored, plans=plans, now=opening.now, request=request)
    assignments = iter(secured.assignments)
    groups: dict[PartyId | None, list[_Assigned]] = {}
    for place, each in enumerate(objects):
        assignment = next(assignments) if each.facts else None
        party = None if assignment is None else assignment.party
        end = None if party is None else secured.ends.get(party, party)
        groups.setdefault(end, []).append(_Assigned(place, each, assignment))
    changes: dict[int, ObservedChange] = {}
    stated: list[Stated] = []
    for group in groups.values():
        stated += _decide_group(batch, known, group, changes)
    batch.refuse_lacking()
    batch.drop_unread()
    in_order = tuple(changes[place] for place in range(len(objects)))
    return DecidedObjects(changes=in_order, stated=tuple(stated), batch=batch, ends=secured.ends)


def _without_unknown(
    connection: Connection, prepared: Sequence[PreparedObject]
) -> Sequence[PreparedObject]:
    """Return the objects without the facts of those that are gone and that nothing ever named."""
    gone = {each.key for each in prepared if each.facts and each.observed.observation.gone}
    if not gone:
        return prepared
    unknown = gone.difference(connection.scalars(_NAMED, {"keys": sorted(gone)}))
    return [
        replace(each, facts=()) if each.facts and each.key in unknown else each for each in prepared
    ]


_NAMED = text("SELECT object_key FROM memberships WHERE object_key = ANY(:keys)")


def _needs(prepared: PreparedObject) -> EventNeeds:
    restates = frozenset({prepared.id})
    return EventNeeds(mentions=prepared.mentions, facts=prepared.facts, restates=restates)


class KnownObjects:
    """The newest facts of the objects of a batch, as it grows by them."""

    def __init__(
        self,
        connection: Connection,
        stored: Mapping[PartyId, Stored],
        prepared: Iterable[PreparedObject],
    ) -> None:
        """Look up what was stored before the batch. The locks of the parties must be held."""
        keys = {each.key for each in prepared}
        self._newest: dict[ObjectKey, list[Fact]] = {}
        for fact in chain.from_iterable(each.facts for each in stored.values()):
            if fact.object_key in keys:
                self._see(fact)
        self._digests = _digests(connection, self._newest.values())

    def has(self, prepared: PreparedObject) -> bool:
        """Return True if something stated the object before."""
        return bool(prepared.facts) and prepared.key in self._newest

    def covers(self, prepared: PreparedObject) -> bool:
        """Return True if the object states nothing that is not known to be its newest state.

        Raises:
            ObservationTaken: another answer of the same second is known and differs.
        """
        newest = self._newest.get(prepared.key, [])
        observation = prepared.observed.observation
        if observation.gone and not _may_run(newest):
            return True
        if self._digests.get(prepared.id, observation.payload_sha256) != observation.payload_sha256:
            raise ObservationTaken(prepared.id)
        names = {fact.event_id for fact in newest}
        return bool(names) and all(self._shows(each, observation) for each in names)

    def add(self, prepared: PreparedObject) -> None:
        """Add an object that states something new."""
        self._digests[prepared.id] = prepared.observed.observation.payload_sha256
        for fact in prepared.facts:
            self._see(fact)

    def _shows(self, event_id: EventId, observation: ApiObservation) -> bool:
        return self._digests.get(event_id) == observation.payload_sha256

    def _see(self, fact: Fact) -> None:
        newest = self._newest.setdefault(fact.object_key, [])
        if newest and _second(fact) > _second(newest[0]):
            newest.clear()
        if not newest or _second(fact) == _second(newest[0]):
            newest.append(fact)


def _second(fact: Fact) -> datetime:
    return fact.created_at.replace(microsecond=0)


def _may_run(newest: Iterable[Fact]) -> bool:
    """Return True if these newest facts show a subscription that has not ended."""
    shown = [fact.fields for fact in newest if isinstance(fact.fields, SubscriptionFields)]
    return bool(shown) and all(each.status not in SUBSCRIPTION_ENDED for each in shown)


def _digests(connection: Connection, newest: Iterable[Iterable[Fact]]) -> dict[str, str]:
    """Return the SHA-256 of the bodies of those of these facts that Stripe's API showed."""
    ids = sorted({fact.event_id for facts in newest for fact in facts if fact.observed})
    if not ids:
        return {}
    return {row.id: row.payload_sha256 for row in connection.execute(_DIGESTS, {"ids": ids})}


_DIGESTS = text("SELECT id, payload_sha256 FROM api_observations WHERE id = ANY(:ids)")


class _Assigned(NamedTuple):
    """An object with its place in the batch and its party, if it states something."""

    place: int
    prepared: PreparedObject
    assignment: PartyAssignment | None


def _decide_group(
    batch: BatchState,
    known: KnownObjects,
    group: Sequence[_Assigned],
    changes: dict[int, ObservedChange],
) -> list[Stated]:
    """Decide what follows from the objects of one party; the last one bears the decisions."""
    news: list[tuple[_Assigned, PartyAssignment, bool]] = []
    for each in group:
        was_known = known.has(each.prepared)
        if each.assignment is None or known.covers(each.prepared):
            changes[each.place] = ObservedChange(
                observed=each.prepared.observed, known=was_known, unchanged=True
            )
        else:
            news.append((each, each.assignment, was_known))
            known.add(each.prepared)
    if not news:
        return []
    for _, assignment, _ in news:
        party_state = batch.party_for(assignment)
    left = party_state.archives.left
    facts = [fact for each, _, _ in news for fact in each.prepared.facts]
    decisions = batch.add_facts(party_state, facts)
    leaves = party_state.archives.left > left
    stated = []
    for each, assignment, was_known in news:
        is_last = each is news[-1][0]
        own = decisions if is_last else ()
        changes[each.place] = ObservedChange(
            observed=each.prepared.observed,
            known=was_known,
            unchanged=False,
            decisions=own,
            pending_fetches=_pending_fetches(party_state, each.prepared.facts),
        )
        stated.append(Stated(each.prepared, assignment.party, own, leaves and is_last))
    return stated


def _pending_fetches(party_state: PartyState, facts: Sequence[Fact]) -> tuple[FetchTarget, ...]:
    """Return what the projection still needs: a list shows less than the object itself."""
    projection = party_state.projection
    assert projection is not None, "it was just made"  # noqa: S101 - for the reader
    states = {fact.object_key: party_state.folded.state_of(fact).created_at for fact in facts}
    return open_fetches(facts, projection, states, ())


def write_observed(connection: Connection, decided: DecidedObjects, cause: ObserveCause) -> None:
    """Write what follows from observed objects; call it last in a transaction.

    Raises:
        ObservationTaken: another answer of the same second is stored and differs.
    """
    pending = PendingWrites()
    for each in decided.stated:
        _stage(pending, each, cause)
    store_observations(connection, _asked(decided.stated, cause))
    write(connection, pending, decided.batch, decided.ends)


def _asked(stated: Iterable[Stated], cause: ObserveCause) -> Iterator[AskedFor]:
    for each in stated:
        observed = each.prepared.observed
        yield AskedFor(
            observed.realm,
            observed.observation,
            origin=cause.origin,
            actor=cause.actor,
            reason=cause.reason,
        )


def _stage(pending: PendingWrites, stated: Stated, cause: ObserveCause) -> None:
    prepared, party = stated.prepared, stated.party
    pending.facts += [(party, fact) for fact in prepared.facts]
    pending.add_terms(party, prepared.facts, prepared.terms)
    # An event may have asked for the same object in the same second.
    pending.restated.append(prepared.id)
    change = ChangeCause(
        actor=cause.actor,
        origin=cause.origin,
        occurred_at=prepared.observed.observation.asked_at,
        event_id=prepared.id,
        event_type=API_OBSERVATION,
        reason=cause.reason,
    )
    pending.add(change, party, stated.decisions)
    if stated.leaves_archives:
        pending.leave_archives(party, change, stated.decisions)
