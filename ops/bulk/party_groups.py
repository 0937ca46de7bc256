"""Group many events by party, a few parties at a time, so that the first group is there at once.

A few events are read, and what they name leads through the stored memberships to their parties, and
from there to the other events of the same parties, until none is left. Only then are the next ones
read. Events that name objects of no known party find each other by the ids that they name.

A settled event that stated nothing is known to concern a party only once it is read. So a party may
turn out to have more events after its group came. It comes again at the end, with all of them, and
says which groups it replaces.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from billing.ids import ObjectKey, PartyId, stripe_id_of
from models.tables import Membership, SearchTerm, StoredFact
from ops.batches import chunks
from ops.bulk.targets import Target
from runtime.database.one_of import one_of
from runtime.ledger.deliveries import Delivery
from runtime.ledger.load import keys_stated_by
from runtime.ledger.parties import Grouping
from runtime.ledger.prepare import Scope, prepare

FEWEST_AT_ONCE: Final = 10
MOST_AT_ONCE: Final = 100
_KEYS_AT_ONCE: Final = 1000
NO_PARTY: Final = PartyId("")
"""Of events that name no object; they have nothing to do with each other."""

ReadDeliveries = Callable[[Sequence[Target]], list[Delivery]]
"""Read the bodies of a few events; without those that cannot be read."""

K = TypeVar("K", bound=str)
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyGroup:
    """All events of one party, in the order of the plan; it replaces groups that came before."""

    party: PartyId
    targets: tuple[Target, ...]
    replaces: frozenset[PartyId] = frozenset()


@dataclass(slots=True, kw_only=True)
class _PartiesFound:
    """The events that were read for one step, and what they name."""

    targets: dict[str, Target] = field(default_factory=dict)
    mentions: dict[str, frozenset[ObjectKey]] = field(default_factory=dict)
    members: dict[ObjectKey, PartyId] = field(default_factory=dict)
    looked_up: set[ObjectKey] = field(default_factory=set)
    parties: set[PartyId] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class PartyGroups:
    """The groups of some events; ``read`` reads each once, to find its party."""

    engine: Engine
    scope: Scope
    read: ReadDeliveries
    _unknown: dict[ObjectKey, PartyId] = field(default_factory=dict)
    """The parties of objects that no event was settled about."""
    _renamed: dict[PartyId, PartyId] = field(default_factory=dict)
    _came: dict[PartyId, list[Target]] = field(default_factory=dict)
    _again: dict[PartyId, set[PartyId]] = field(default_factory=dict)
    """Parties that have to come again, with the names under which they came."""

    def groups(
        self, targets: Iterable[Target], *, at_once: int = FEWEST_AT_ONCE
    ) -> Iterator[list[PartyGroup]]:
        """Yield groups, a few at a time; those that come together share no party."""
        left = {target.key: target for target in targets}
        position = {key: number for number, key in enumerate(left)}
        while left:
            seeds = [left.pop(key) for key in _first(left, at_once)]
            found = self._found_with(seeds, left)
            yield self._new(self._grouped(found, position))
            at_once = max(at_once, min(at_once * 2, MOST_AT_ONCE))
        for party, names in self._again.items():
            whole = sorted(self._came[party], key=lambda target: position[target.key])
            yield [PartyGroup(party=party, targets=tuple(whole), replaces=frozenset(names))]

    def _found_with(self, seeds: Sequence[Target], left: dict[str, Target]) -> _PartiesFound:
        """Read these events and all others of their parties, which leave ``left``."""
        found = _PartiesFound()
        todo = list(seeds)
        while todo:
            for some in chunks(todo, MOST_AT_ONCE):
                self._read(found, some)
            with self.engine.connect() as connection:
                named = _look_up(connection, found)
            todo = [left.pop(key) for key in sorted(named & left.keys())]
        return found

    def _read(self, found: _PartiesFound, targets: Sequence[Target]) -> None:
        prepared = prepare(self.read(targets), self.scope)
        with self.engine.connect() as connection:
            stated = keys_stated_by(connection, [each.delivery.key for each in prepared])
        of_key = {target.key: target for target in targets}
        for each in prepared:
            key = each.delivery.key
            found.targets[key] = of_key[key]
            found.mentions[key] = each.mentions | stated.get(key, frozenset())

    def _grouped(self, found: _PartiesFound, position: Mapping[str, int]) -> list[PartyGroup]:
        named = frozenset().union(*found.mentions.values())
        unknown = {key: self._unknown[key] for key in named & self._unknown.keys()}
        known = {key: self._end_of(party) for key, party in (unknown | found.members).items()}
        grouping = Grouping(known)
        for keys in filter(None, found.mentions.values()):
            grouping.assign_party(keys)
        self._renamed |= grouping.ends()
        self._unknown |= {key: grouping.party_of(key) for key in named - found.members.keys()}

        def party_of(key: str) -> PartyId:
            keys = found.mentions[key]
            return grouping.party_of(min(keys)) if keys else NO_PARTY

        ordered = sorted(found.targets, key=lambda key: (party_of(key), position[key]))
        return [
            PartyGroup(party=party, targets=tuple(found.targets[key] for key in keys))
            for party, keys in groupby(ordered, party_of)
        ]

    def _new(self, groups: Sequence[PartyGroup]) -> list[PartyGroup]:
        """Return the groups of parties that did not come yet; remember that the others do again."""
        names = {group.party: self._names_before(group.party) for group in groups}
        for group in groups:
            before = [target for name in names[group.party] for target in self._came.pop(name)]
            self._came[group.party] = [*before, *group.targets]
            if names[group.party] and group.party != NO_PARTY:
                self._again.setdefault(group.party, set()).update(names[group.party])
        return [group for group in groups if not names[group.party] or group.party == NO_PARTY]

    def _names_before(self, party: PartyId) -> list[PartyId]:
        """Return the names under which events of the party came before."""
        names = [
            name for name in self._renamed if self._end_of(name) == party and name in self._came
        ]
        for name in names:
            if name in self._again:
                self._again.setdefault(party, set()).update(self._again.pop(name))
        return [*names, *([party] if party in self._came else [])]

    def _end_of(self, party: PartyId) -> PartyId:
        while party in self._renamed:
            party = self._renamed[party]
        return party


def _first(left: Mapping[str, Target], number: int) -> list[str]:
    return [key for key, _ in zip(left, range(number), strict=False)]


def _look_up(connection: Connection, found: _PartiesFound) -> set[str]:
    """Look up what was named since the last call; return the events that concern the same."""
    new = frozenset().union(*found.mentions.values()) - found.looked_up
    known = _in_chunks(new, lambda some: _memberships(connection, some))
    found.members |= known
    parties = set(known.values()) - found.parties
    of_parties = {
        key for some in chunks(sorted(parties), _KEYS_AT_ONCE) for key in _of(connection, some)
    }
    found.members |= dict(of_parties)
    found.parties |= parties
    found.looked_up |= new
    ids = {stripe_id_of(key).lower() for key in new | {key for key, _ in of_parties}}
    return _stating(connection, parties) | _naming(connection, ids)


def _memberships(connection: Connection, keys: Sequence[ObjectKey]) -> Mapping[ObjectKey, PartyId]:
    query = sa.select(Membership.object_key, Membership.party)
    rows = connection.execute(query.where(one_of(Membership.object_key, keys)))
    return {ObjectKey(key): PartyId(party) for key, party in rows}


def _of(connection: Connection, parties: Sequence[PartyId]) -> list[tuple[ObjectKey, PartyId]]:
    query = sa.select(Membership.object_key, Membership.party)
    rows = connection.execute(query.where(one_of(Membership.party, parties)))
    return [(ObjectKey(key), PartyId(party)) for key, party in rows]


def _stating(connection: Connection, parties: Iterable[PartyId]) -> set[str]:
    """Return the settled events that state something about the parties."""
    query = sa.select(StoredFact.event_id).distinct()
    return {
        event_id
        for some in chunks(sorted(parties), _KEYS_AT_ONCE)
        for event_id in connection.scalars(query.where(one_of(StoredFact.party, some)))
    }


def _naming(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Return the dead letters that name one of the ids, which are in lower case."""
    query = sa.select(SearchTerm.party).where(SearchTerm.kind == "id")
    return {
        key
        for some in chunks(sorted(ids), _KEYS_AT_ONCE)
        for key in connection.scalars(query.where(one_of(SearchTerm.term, some)))
    }


def _in_chunks(keys: Iterable[K], query: Callable[[Sequence[K]], Mapping[K, V]]) -> dict[K, V]:
    found: dict[K, V] = {}
    for some in chunks(sorted(keys), _KEYS_AT_ONCE):
        found.update(query(some))
    return found
