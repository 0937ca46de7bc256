"""The parties of one transaction in memory, changed event by event.

Each event is projected by itself, however large the batch. Nothing here reads or writes the
database, so a preview is the same computation.

A party may have archives that are not loaded. After each event it is checked that nothing in them
can have changed, nor anything through them. Otherwise the batch is ``lacking`` something, and what
it decided must not be written; or the archives of a long past are left to be changed in steps.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from billing.archiving.archive import Archived, FactKey, archive
from billing.archiving.dependencies import Dependencies, dependencies_of, passes_in, still_hold
from billing.archiving.special_keys import open_money
from billing.facts import Fact
from billing.ids import EventId, PartyId
from billing.projection.party import PartyFacts
from billing.rows import Key, Projection
from runtime.ledger.catalogues import VersionedCatalogue
from runtime.ledger.decisions import Decision
from runtime.ledger.difference import difference
from runtime.ledger.errors import ArchivesNeeded
from runtime.ledger.load import Stored
from runtime.ledger.load_past import NOTHING_MORE, ArchiveRequest
from runtime.ledger.parties import PartyAssignment
from runtime.ledger.rows import Rows, rows_of

ARCHIVE_ABOVE: Final = 24
"""The number of facts above which a party is asked for what may go into archives.

A new customer with a subscription has about 15. Every further dozen costs a worker half a
millisecond, about as much as one more statement.
"""

ARCHIVE_EVERY: Final = 12
"""It is asked each time that it has grown by so many facts, so that asking in vain costs little."""


@dataclass(slots=True, kw_only=True)
class Archives:
    """The archives of a party, as far as they bear on what is loaded of it.

    ``until`` is the newest moment of anything in them, None without any. Those that were ``opened``
    and the facts that were ``taken_out`` are loaded; ``is_whole`` if everything is. ``in_steps``
    if its archives may be left as they are when all of them have to change, and ``left`` is how
    often that was so.
    """

    until: datetime | None
    dependencies: Dependencies
    is_whole: bool
    opened: frozenset[str] = frozenset()
    taken_out: frozenset[FactKey] = frozenset()
    in_steps: bool = False
    left: int = 0

    @property
    def has_more(self) -> bool:
        """True if something in an archive was not loaded."""
        return self.until is not None and not self.is_whole


@dataclass(slots=True, kw_only=True)
class PartyState:
    """One party in the batch: its facts, their folded state and the rows projected from them.

    ``versions`` are those of the plans beside the grants among its rows, and ``loaded_versions``
    those with which it was loaded. ``size`` is the number of facts that it was loaded with, and
    ``live`` that of those that were in no archive.
    """

    name: PartyId
    facts: dict[FactKey, Fact]
    folded: PartyFacts
    rows: Rows
    versions: Mapping[Key, int]
    loaded_versions: Mapping[Key, int]
    catalogue_version: int | None
    archives: Archives
    size: int
    live: int
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
    """The parties of one transaction, its clock and its plans.

    ``lacking`` is what has to be loaded as well before anything here may be written.
    """

    def __init__(
        self,
        stored: Mapping[PartyId, Stored],
        *,
        plans: VersionedCatalogue,
        now: datetime,
        request: ArchiveRequest = NOTHING_MORE,
    ) -> None:
        """Take what was loaded for a batch, after what was asked of archives in ``request``."""
        self.plans = plans
        self.now = now
        self.lacking = NOTHING_MORE
        self._request = request
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
        return _party_state(party, self._unread.pop(party, Stored()))

    def add_facts(self, party_state: PartyState, facts: Iterable[Fact]) -> tuple[Decision, ...]:
        """Add the facts of an event that is new, and project the party."""
        stated = tuple(facts)
        self.take_facts(party_state, stated)
        return self.settle(party_state, stated)

    def take_facts(self, party_state: PartyState, facts: Iterable[Fact]) -> None:
        """Add facts to a party that is projected only after others; ``settle`` does it."""
        stated = _facts_by_key(facts)
        party_state.facts.update(stated)
        party_state.folded.add(stated.values())

    def settle(self, party_state: PartyState, facts: Iterable[Fact]) -> tuple[Decision, ...]:
        """Project a party, once, with everything that was added: these new facts."""
        decisions = self.project(party_state)
        self._look_at_archives(party_state, _facts_by_key(facts).values())
        return decisions

    def replace_facts(
        self, party_state: PartyState, statements: Collection[EventId], facts: Iterable[Fact]
    ) -> tuple[Decision, ...]:
        """Replace the facts of an event that was settled before, and project the party."""
        stated = _facts_by_key(facts)
        before = party_state.stated_by(statements)
        party_state.replace_facts(statements, stated.values())
        decisions = self.project(party_state)
        if all(stated.get(key) == fact for key, fact in before.items()):
            self._look_at_archives(party_state, stated.values())
        elif party_state.archives.has_more:
            self._ask_for_all(party_state)
        return decisions

    def project(self, party_state: PartyState) -> tuple[Decision, ...]:
        """Project the party and return the changes from its rows before to its rows now."""
        projection = party_state.folded.project(self.plans.catalogue, self.now)
        before, party_state.rows = party_state.rows, rows_of(projection)
        versions = party_state.versions
        party_state.versions = dict.fromkeys(projection.entitlements, self.plans.version)
        party_state.projection = projection
        return difference(before, party_state.rows, versions)

    def archive_old(self, party_state: PartyState) -> Archived | None:
        """Return what of the party may go into archives now, if it has grown enough to ask."""
        archives, size = party_state.archives, len(party_state.facts)
        # What was taken out of archives counts as growth, or it would stay out for long.
        grown = size // ARCHIVE_EVERY > party_state.live // ARCHIVE_EVERY
        if size <= ARCHIVE_ABOVE or party_state.projection is None:
            return None
        if not (grown or archives.is_whole or archives.in_steps):
            return None
        return archive(
            party_state.folded,
            party_state.projection,
            self.plans.catalogue,
            self.now,
            archives.until if archives.has_more else None,
        )

    def refuse_lacking(self) -> None:
        """Raise ``ArchivesNeeded`` if something has to be loaded before anything may be written."""
        if self.lacking != NOTHING_MORE:
            lacking = self.lacking
            raise ArchivesNeeded(whole=lacking.whole, changed=lacking.changed, keys=lacking.keys)

    def compare_dependencies(self, party_state: PartyState) -> None:
        """Find out whether what was not loaded may have changed; then it has to, now or later."""
        archives = party_state.archives
        if archives.until is None or archives.is_whole:
            return
        after = dependencies_of(party_state.folded.realms, archives.until)
        by_others = party_state.catalogue_version != self.plans.version
        if still_hold(archives.dependencies, after) and not by_others:
            archives.dependencies = after
        elif archives.in_steps:
            archives.dependencies = after
            archives.left += 1
        else:
            self.lacking |= ArchiveRequest(changed=frozenset({party_state.name}))

    def refuse_opened_passes(self, party_state: PartyState) -> None:
        """Raise ``ArchivesNeeded`` if one of the archives that were opened is no step of its own.

        A plan that lasts some days may begin where one ends that is in another archive.
        """
        archives = party_state.archives
        if archives.until is None or archives.is_whole:
            return
        before = archives.dependencies
        archives.dependencies = dependencies_of(party_state.folded.realms, archives.until)
        if passes_in(before) != passes_in(archives.dependencies):
            raise ArchivesNeeded(whole=frozenset({party_state.name}))

    def _look_at_archives(self, party_state: PartyState, facts: Collection[Fact]) -> None:
        """Find out whether these new facts may change, or be changed by, what was not loaded."""
        archives = party_state.archives
        if archives.until is None or archives.is_whole:
            return
        self.compare_dependencies(party_state)
        named = frozenset(key for fact in facts for key in (fact.object_key, *fact.mentions))
        money = (each for realm in party_state.folded.realms for each in open_money(realm))
        near = (each.near_until(archives.until) for each in money if each.is_touched_by(named))
        party = party_state.name
        if fresh := frozenset[str]().union(*near) - self._request.keys.get(party, frozenset()):
            self.lacking |= ArchiveRequest(keys={party: fresh})

    def _ask_for_all(self, party_state: PartyState) -> None:
        self.lacking |= ArchiveRequest(whole=frozenset({party_state.name}))


def _facts_by_key(facts: Iterable[Fact]) -> dict[FactKey, Fact]:
    return {(fact.event_id, fact.object_key): fact for fact in facts}


def _party_state(name: PartyId, stored: Stored) -> PartyState:
    return PartyState(
        name=name,
        archives=Archives(
            until=stored.archived_until,
            dependencies=stored.dependencies,
            is_whole=stored.is_whole,
            opened=frozenset(stored.opened),
            taken_out=frozenset(stored.taken_out),
            in_steps=stored.in_steps,
        ),
        size=len(stored.facts),
        live=stored.live,
        facts=_facts_by_key(stored.facts),
        folded=PartyFacts(stored.facts),
        rows=stored.rows,
        versions=stored.versions,
        loaded_versions=stored.versions,
        catalogue_version=stored.catalogue_version,
    )


def _join(party_state: PartyState, other: PartyState) -> PartyState:
    facts = party_state.facts | other.facts
    moments = filter(None, (party_state.archives.until, other.archives.until))
    return PartyState(
        name=party_state.name,
        # Parties that become one are loaded whole.
        archives=Archives(until=max(moments, default=None), dependencies={}, is_whole=True),
        size=party_state.size + other.size,
        live=party_state.live + other.live,
        facts=facts,
        folded=PartyFacts(facts.values()),
        rows={table: {**rows, **other.rows[table]} for table, rows in party_state.rows.items()},
        versions={**party_state.versions, **other.versions},
        loaded_versions={**party_state.loaded_versions, **other.loaded_versions},
        catalogue_version=party_state.catalogue_version,
    )
