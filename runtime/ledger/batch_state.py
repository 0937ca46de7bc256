"""The parties of one transaction in memory, changed event by event.

Each event is projected by itself, however large the batch. Nothing here reads or writes the
database, so a preview is the same computation.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from billing.facts import Fact
from billing.ids import EventId, ObjectKey, PartyId
from billing.projection.party import PartyFacts
from billing.rows import Key, Projection
from runtime.ledger.catalogues import VersionedCatalogue
from runtime.ledger.decisions import Decision
from runtime.ledger.difference import difference
from runtime.ledger.load import Stored
from runtime.ledger.parties import PartyAssignment
from runtime.ledger.rows import Rows, rows_of

FactKey = tuple[EventId, ObjectKey]


@dataclass(slots=True, kw_only=True)
class PartyState:
    """One party in the batch: its facts, their folded state and the rows projected from them.

    ``versions`` are those of the plans beside the grants among its rows.
    """

    facts: dict[FactKey, Fact]
    folded: PartyFacts
    rows: Rows
    versions: Mapping[Key, int]
    catalogue_version: int | None
    projection: Projection | None = None

    def stated_by(self, statements: Collection[EventId]) -> dict[FactKey, Fact]:
        """Return the facts of this party that these events or observations state."""
        return {key: fact for key, fact in self.facts.items() if key[0] in statements}

    def replace_facts(self, statements: Collection[EventId], facts: Iterable[Fact]) -> None:
        """Replace everything that these events or observations stated before by these facts."""
        stated = _facts_by_key(facts)
        for key in self.stated_by(statements):
            del self.facts[key]
        self.facts.update(stated)
        for each in statements:
            self.folded.replace(each, ())
        self.folded.add(stated.values())

    def newer_than(self, facts: Iterable[Fact]) -> EventId | None:
        """Return the newest event on these objects, unless it is the one that states the facts."""
        states = [(fact, self.folded.state_of(fact)) for fact in facts]
        if not states or any(state.event_id == fact.event_id for fact, state in states):
            return None
        newest = max((state for _, state in states), key=lambda s: (s.created_at, s.event_id))
        return newest.event_id


class BatchState:
    """The parties of one transaction, its clock and its plans."""

    def __init__(
        self, stored: Mapping[PartyId, Stored], *, plans: VersionedCatalogue, now: datetime
    ) -> None:
        self.plans = plans
        self.now = now
        self._unread = dict(stored)
        self._parties: dict[PartyId, PartyState] = {}

    @property
    def parties(self) -> Mapping[PartyId, PartyState]:
        """The parties that are left after every merger, by name."""
        for party in tuple(self._unread):
            self._parties[party] = self._read(party)
        return self._parties

    def drop_unread(self) -> None:
        """Forget the parties that no event has reached."""
        self._unread.clear()

    def party_for(self, assignment: PartyAssignment) -> PartyState:
        """Return the party an event belongs to, merged with those that the event connects to it."""
        party_state = self._read(assignment.party)
        for each in assignment.absorbed:
            if each in self._parties or each in self._unread:
                party_state = _join(party_state, self._read(each))
        self._parties[assignment.party] = party_state
        return party_state

    def _read(self, party: PartyId) -> PartyState:
        """Take out a party. It is folded only here, because a long past takes long."""
        if party in self._parties:
            return self._parties.pop(party)
        return _party_state(self._unread.pop(party, Stored()))

    def add_facts(self, party_state: PartyState, facts: Iterable[Fact]) -> tuple[Decision, ...]:
        """Add the facts of an event that is new, and project the party."""
        stated = _facts_by_key(facts)
        party_state.facts.update(stated)
        party_state.folded.add(stated.values())
        return self.project(party_state)

    def replace_facts(
        self, party_state: PartyState, statements: Collection[EventId], facts: Iterable[Fact]
    ) -> tuple[Decision, ...]:
        """Replace the facts of an event that was settled before, and project the party."""
        party_state.replace_facts(statements, facts)
        return self.project(party_state)

    def project(self, party_state: PartyState) -> tuple[Decision, ...]:
        """Project the party and return the changes from its rows before to its rows now."""
        projection = party_state.folded.project(self.plans.catalogue, self.now)
        before, party_state.rows = party_state.rows, rows_of(projection)
        versions = party_state.versions
        party_state.versions = dict.fromkeys(projection.entitlements, self.plans.version)
        party_state.projection = projection
        return difference(before, party_state.rows, versions)


def _facts_by_key(facts: Iterable[Fact]) -> dict[FactKey, Fact]:
    return {(fact.event_id, fact.object_key): fact for fact in facts}


def _party_state(stored: Stored) -> PartyState:
    return PartyState(
        facts=_facts_by_key(stored.facts),
        folded=PartyFacts(stored.facts),
        rows=stored.rows,
        versions=stored.versions,
        catalogue_version=stored.catalogue_version,
    )


def _join(party_state: PartyState, other: PartyState) -> PartyState:
    facts = party_state.facts | other.facts
    return PartyState(
        facts=facts,
        folded=PartyFacts(facts.values()),
        rows={table: {**rows, **other.rows[table]} for table, rows in party_state.rows.items()},
        versions={**party_state.versions, **other.versions},
        catalogue_version=party_state.catalogue_version,
    )
