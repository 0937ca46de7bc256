"""Compare objects as Stripe shows them with what Paidup has, by what recording them would change.

An object whose newest facts say the same agrees without more. Of the others the ledger says what
would follow, in short transactions that it rolls back, and the rows of both sides are compared.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from billing.facts import Fact
from billing.fetching.observations import ApiObservation, Name
from billing.ids import ObjectKey, Realm, object_key
from billing.readers.registry import read_unasked
from ops.reconcile.classify import (
    ObjectChange,
    ObjectDifference,
    RowKey,
    differences_in,
    keys_in,
    rows_after,
)
from ops.reconcile.groups import together
from ops.reconcile.stored import newest_facts, parties_of, says_the_same, stored_rows
from ops.stripe_runs.order import place_of
from runtime.failures.classify import Transient, classify
from runtime.ledger.decisions import Decision, RowDeleted, RowUpserted
from runtime.ledger.errors import ObservationTaken
from runtime.ledger.observe import ObservedChange, ObservedObject
from runtime.ledger.record import Ledger
from runtime.ledger.rows import Row

AT_ONCE: Final = 25
"""Objects that one preview locks the parties of; events of these wait for it."""

MOST_ONE_BY_ONE: Final = 40
"""Objects of one customer that are compared one by one; the cost grows with their square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownObject:
    """An object as Stripe shows it, and the facts that it states."""

    observation: ApiObservation
    facts: tuple[Fact, ...]

    @classmethod
    def read(cls, realm: Realm, observation: ApiObservation) -> "ShownObject":
        """Return an object of a realm with its facts."""
        return cls(observation=observation, facts=read_unasked(realm, observation))

    @property
    def name(self) -> Name:
        """The family and the id of the object."""
        return self.observation.name

    def keys(self, realm: Realm) -> frozenset[ObjectKey]:
        """Return the keys of the object and of every object that it names."""
        named = {key for fact in self.facts for key in (fact.object_key, *fact.mentions)}
        return frozenset({object_key(realm, self.name[1]), *named})


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedObjects:
    """The result of comparing objects.

    ``undecided`` are objects that could not be compared now, because Stripe showed them otherwise
    within the same second or another transaction held their customer: compare them again.
    """

    differences: tuple[ObjectDifference, ...] = ()
    undecided: tuple[Name, ...] = ()

    def __add__(self, other: "ComparedObjects") -> "ComparedObjects":
        """Return the results of both."""
        return ComparedObjects(
            differences=self.differences + other.differences,
            undecided=self.undecided + other.undecided,
        )


class Comparison:
    """Compares objects of one account and mode."""

    def __init__(self, engine: Engine, ledger: Ledger, realm: Realm) -> None:
        self._engine = engine
        self._ledger = ledger
        self._realm = realm

    def of_list(self, shown: Sequence[ShownObject]) -> ComparedObjects:
        """Return how the objects of a page differ; the parts of one customer may be on others."""
        found = ComparedObjects()
        telling = self.telling(shown)
        for start in range(0, len(telling), AT_ONCE):
            found += self._of_batch(telling[start : start + AT_ONCE])
        return found

    def together(
        self, shown: Sequence[ShownObject], *, running: frozenset[str] = frozenset()
    ) -> ComparedObjects:
        """Return how these objects of one customer differ, each beside those before it.

        ``running`` are the ids of those that Paidup thinks Stripe has.
        """
        ordered = sorted(shown, key=lambda each: place_of(each.name))
        try:
            changes = [*self._one_by_one(ordered)]
        except Exception as error:
            if not _concerns_objects(error):
                raise
            return ComparedObjects(undecided=tuple(each.name for each in ordered))
        return ComparedObjects(
            differences=differences_in(changes, self._stored(changes), running=running)
        )

    def by_customer(self, shown: Sequence[ShownObject]) -> list[list[ShownObject]]:
        """Return the objects in groups of what belongs together."""
        named = [(each, each.keys(self._realm)) for each in shown]
        keys = {key for _, its_keys in named for key in its_keys}
        with self._engine.connect() as connection:
            return together(named, parties_of(connection, keys))

    def telling(self, shown: Sequence[ShownObject]) -> list[ShownObject]:
        """Return the objects that say something else than what is known."""
        keys = [fact.object_key for each in shown for fact in each.facts]
        with self._engine.connect() as connection:
            newest = newest_facts(connection, keys)
        return [each for each in shown if not says_the_same(each.facts, newest)]

    def _of_batch(self, batch: Sequence[ShownObject]) -> ComparedObjects:
        """Compare objects of several customers, and one by one where a customer's differ."""
        try:
            changes = self._previewed(batch)
        except Exception as error:
            if not _concerns_objects(error):
                raise
            if len(batch) == 1:
                return ComparedObjects(undecided=(batch[0].name,))
            half = len(batch) // 2
            return self._of_batch(batch[:half]) + self._of_batch(batch[half:])
        found = differences_in(changes, self._stored(changes))
        differing = {name for each in found for name in each.objects}
        if len(batch) == 1 or not differing:
            return ComparedObjects(differences=found)
        alone = [
            self._of_batch([each])
            for group in self.by_customer(batch)
            if not differing.isdisjoint(each.name for each in group)
            for each in group
        ]
        return sum(alone, ComparedObjects())

    def _one_by_one(self, ordered: Sequence[ShownObject]) -> Iterator[ObjectChange]:
        """Yield what each object adds to those before it.

        The ledger decides the objects of one customer together, so each preview has one more. Of
        very many the last one bears what follows from all.
        """
        stored: dict[RowKey, Row] = {}
        before: dict[RowKey, Row | None] = {}
        first = 1 if len(ordered) <= MOST_ONE_BY_ONE else len(ordered)
        for number in range(first, len(ordered) + 1):
            changes = self._previewed(ordered[:number])
            stored |= self._stored(changes)
            after = rows_after(changes)
            added = {
                key: after.get(key, stored.get(key))
                for key in after.keys() | before.keys()
                if after.get(key, stored.get(key)) != before.get(key, stored.get(key))
            }
            last = ordered[number - 1]
            decisions = tuple(_decision(key, row) for key, row in sorted(added.items(), key=_key))
            yield ObjectChange(name=last.name, gone=last.observation.gone, decisions=decisions)
            before = after

    def _previewed(self, shown: Sequence[ShownObject]) -> list[ObjectChange]:
        observed = [self._observed(each) for each in shown]
        return [_change(each) for each in self._ledger.preview_observed(observed)]

    def _stored(self, changes: Iterable[ObjectChange]) -> dict[RowKey, Row]:
        with self._engine.connect() as connection:
            return stored_rows(connection, keys_in(changes))

    def _observed(self, shown: ShownObject) -> ObservedObject:
        return ObservedObject(realm=self._realm, observation=shown.observation)


def _concerns_objects(error: Exception) -> bool:
    """Return True if the objects themselves or their locks failed, and not the surroundings."""
    return isinstance(error, ObservationTaken) or isinstance(classify(error), Transient)


def _change(change: ObservedChange) -> ObjectChange:
    shown = change.observed.observation
    return ObjectChange(name=shown.name, gone=shown.gone, decisions=change.decisions)


def _key(item: tuple[RowKey, Row | None]) -> RowKey:
    return item[0]


def _decision(key: RowKey, row: Row | None) -> Decision:
    if row is None:
        return RowDeleted(table=key[0], key=key[1])
    return RowUpserted(table=key[0], row=row)
