"""Record what Stripe's API showed for no event: objects that a backfill or a reconciliation read.

    prepare  read each object into facts, and refuse what does not count here
    secure   lock every party they touch, as for events
    decide   each party once, with all that is new of it; what is known is left out
    write    the decisions, the audit, the facts and the observations with their exact bodies

No event is made up: ``stripe_events`` gets no row, and the observation's id stands where an event's
id would.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Literal, NamedTuple, assert_never

from sqlalchemy import Connection, text

from billing.facts import API_OBSERVATION, Fact, SubscriptionFields, is_observation
from billing.fetching.observations import ApiObservation
from billing.fetching.plan import open_fetches
from billing.fetching.record import FetchTarget
from billing.ids import EventId, ObjectKey, PartyId, Realm, stripe_id_of
from billing.readers.registry import read_unasked
from billing.readers.search_terms import Term, terms_shown
from billing.statuses import SUBSCRIPTION_ENDED
from runtime.ledger.admit import open_transaction
from runtime.ledger.batch_state import BatchState, PartyState
from runtime.ledger.catalogues import CatalogueSource
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
from runtime.ledger.errors import ObservationTaken, RealmExcluded
from runtime.ledger.load import Stored
from runtime.ledger.load_past import ArchiveRequest, BatchNeeds, EventNeeds, load_past
from runtime.ledger.locks import Secured, secure
from runtime.ledger.observed import AskedFor, observation_of, store_observations
from runtime.ledger.parties import PartyAssignment
from runtime.ledger.prepare import Scope
from runtime.ledger.write import ChangeCause, PendingWrites, write


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedObject:
    """An object as Stripe's API showed it, with the account and mode in which it was asked for."""

    realm: Realm
    observation: ApiObservation


ObserveOrigin = Literal["backfill", "reconcile"]
"""The command that had Stripe asked, as the audit names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveCause:
    """The person or process that has Stripe asked for objects, by which command, and why."""

    actor: str
    origin: ObserveOrigin
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedChange:
    """The consequences of one object that was observed.

    ``known`` if something had stated the object before. ``unchanged`` if nothing is stored: the
    observation itself is known, or the newest thing known of the object is one with the same body,
    or it says nothing.
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


class FreshObject(NamedTuple):
    """An object that states something new, its party, and the party that this is in the end."""

    prepared: PreparedObject
    assignment: PartyAssignment
    end: PartyId


class PageEntry(NamedTuple):
    """An object of a page; ``fresh`` is None if it states nothing new.

    ``known`` if something had stated the object before.
    """

    prepared: PreparedObject
    known: bool
    fresh: FreshObject | None


Groups = Mapping[PartyId, Mapping[EventId, Stated]]
"""The new objects of each party by id."""


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
    *,
    one_by_one: bool = False,
) -> DecidedObjects:
    """Lock and load the parties of these objects, and decide what follows for each party.

    With ``one_by_one`` a party is projected after each object, which says what each one changes
    after those before it, and takes as long for every one of them.

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
    page = _entries(objects, KnownObjects(connection, stored, speaking), secured)
    batch = BatchState(stored, plans=plans, now=opening.now, request=request)
    fresh = [entry.fresh for entry in page if entry.fresh]
    groups = _decided_one_by_one(batch, fresh) if one_by_one else _decided_together(batch, fresh)
    batch.refuse_lacking()
    batch.drop_unread()
    return DecidedObjects(
        changes=tuple(_change(each, batch, groups) for each in page),
        stated=tuple(each for group in groups.values() for each in group.values()),
        batch=batch,
        ends=secured.ends,
    )


def _entries(
    objects: Iterable[PreparedObject], known: "KnownObjects", secured: Secured
) -> list[PageEntry]:
    """Return what is new on a page, and what was known before it or by what comes before."""
    assignments = iter(secured.assignments)
    page = []
    for each in objects:
        was_known = known.has(each)
        assignment = next(assignments) if each.facts else None
        if assignment is None or known.covers(each):
            page.append(PageEntry(each, was_known, None))
            continue
        known.add(each)
        end = secured.ends.get(assignment.party, assignment.party)
        page.append(PageEntry(each, was_known, FreshObject(each, assignment, end)))
    return page


def _without_unknown(
    connection: Connection, prepared: Sequence[PreparedObject]
) -> Sequence[PreparedObject]:
    """Return the objects without the facts of those that are gone and that nothing ever named."""
    gone = {each.key for each in prepared if each.facts and each.observed.observation.gone}
    there = [each.mentions for each in prepared if not each.observed.observation.gone]
    unknown = gone.difference(*there)
    if not unknown:
        return prepared
    unknown = unknown.difference(connection.scalars(_NAMED, {"keys": sorted(unknown)}))
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
        prepared: Sequence[PreparedObject],
    ) -> None:
        """Look up what was stored before the batch. The locks of the parties must be held."""
        keys = {each.key for each in prepared}
        self._newest: dict[ObjectKey, list[Fact]] = {}
        for fact in chain.from_iterable(each.facts for each in stored.values()):
            if fact.object_key in keys:
                self._see(fact)
        newest = (fact.event_id for facts in self._newest.values() for fact in facts)
        self._digests = _digests(connection, {*newest, *(each.id for each in prepared)})

    def has(self, prepared: PreparedObject) -> bool:
        """Return True if something stated the object before."""
        return bool(prepared.facts) and prepared.key in self._newest

    def covers(self, prepared: PreparedObject) -> bool:
        """Return True if the object states nothing that is not known, or not known to be newest.

        Raises:
            ObservationTaken: another answer of the same second is known and differs.
        """
        newest = self._newest.get(prepared.key, [])
        observation = prepared.observed.observation
        if prepared.id in self._digests:
            if not self._shows(prepared.id, observation):
                raise ObservationTaken(prepared.id)
            return True
        if observation.gone and not _may_run(newest):
            return True
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


def _digests(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of the bodies of those of these ids that are stored observations."""
    asked = {"ids": sorted(filter(is_observation, ids))}
    return {row.id: row.payload_sha256 for row in connection.execute(_DIGESTS, asked)}


_DIGESTS = text("SELECT id, payload_sha256 FROM api_observations WHERE id = ANY(:ids)")


def _decided_one_by_one(batch: BatchState, fresh: Iterable[FreshObject]) -> Groups:
    """Project a party after each of its objects."""
    groups: dict[PartyId, dict[EventId, Stated]] = {}
    for prepared, assignment, end in fresh:
        party_state = batch.party_for(assignment)
        left = party_state.archives.left
        decisions = batch.add_facts(party_state, prepared.facts)
        leaves = party_state.archives.left > left
        groups.setdefault(end, {})[prepared.id] = Stated(prepared, end, decisions, leaves)
    return groups


def _decided_together(batch: BatchState, fresh: Iterable[FreshObject]) -> Groups:
    """Project a party once, after all of its objects."""
    groups: dict[PartyId, list[PreparedObject]] = {}
    for prepared, assignment, end in fresh:
        batch.take_facts(batch.party_for(assignment), prepared.facts)
        groups.setdefault(end, []).append(prepared)
    return {party: _settle(batch, party, objects) for party, objects in groups.items()}


def _settle(
    batch: BatchState, party: PartyId, objects: Sequence[PreparedObject]
) -> dict[EventId, Stated]:
    party_state = batch.party_for(PartyAssignment(party=party, absorbed=()))
    left = party_state.archives.left
    decisions = batch.settle(party_state, [fact for each in objects for fact in each.facts])
    leaves = party_state.archives.left > left
    last = objects[-1].id
    attributed = attribute(decisions, objects)
    return {
        each.id: Stated(each, party, attributed[each.id], leaves and each.id == last)
        for each in objects
    }


def attribute(
    decisions: Iterable[Decision], objects: Sequence[PreparedObject]
) -> Mapping[EventId, tuple[Decision, ...]]:
    """Return the decisions about a party by the observation that each is about.

    It is the newest observation of the payment or source in question, else one that names it, else
    the last of the party.
    """
    named: dict[str, EventId] = {}
    for each in objects:
        named.update(dict.fromkeys(map(stripe_id_of, each.mentions), each.id))
    for each in objects:
        named.update((stripe_id_of(fact.object_key), each.id) for fact in each.facts)
    found: dict[EventId, list[Decision]] = {each.id: [] for each in objects}
    for decision in decisions:
        found[named.get(_subject(decision), objects[-1].id)].append(decision)
    return {name: tuple(some) for name, some in found.items()}


def _subject(decision: Decision) -> str:
    """Return the Stripe id that a decision is about: of rows, the second part of their key."""
    match decision:
        case MoneyMoved(payment=payment):
            return payment.payment_ref
        case EntitlementGranted(after=row) | EntitlementChanged(after=row):
            return row.source
        case EntitlementRevoked(before=row):
            return row.source
        case Noted(target_id=target):
            return target
        case RowUpserted(row=row):
            return row.key[1]
        case RowDeleted(key=key):
            return key[1]
        case _:
            assert_never(decision)


def _change(entry: PageEntry, batch: BatchState, groups: Groups) -> ObservedChange:
    observed = entry.prepared.observed
    if entry.fresh is None:
        return ObservedChange(observed=observed, known=entry.known, unchanged=True)
    end = entry.fresh.end
    return ObservedChange(
        observed=observed,
        known=entry.known,
        unchanged=False,
        decisions=groups[end][entry.prepared.id].decisions,
        pending_fetches=_pending_fetches(batch.parties[end], entry.prepared.facts),
    )


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
