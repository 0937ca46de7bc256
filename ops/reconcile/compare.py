"""Compare objects as Stripe shows them with what Paidup has, by what recording them would change.

An object whose newest facts say the same agrees without more. Of the others the ledger says what
would follow, in short transactions that it rolls back, and the rows of both sides are compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from billing.facts import Fact, Kind
from billing.families import FAMILIES
from billing.fetching.observations import ApiObservation, Name
from billing.ids import ObjectKey, Realm, object_key
from billing.readers.registry import read_unasked
from ops.reconcile.classify import ObjectChange, ObjectDifference, differences_in, keys_in
from ops.reconcile.stored import newest_facts, says_the_same, stored_rows
from runtime.failures.classify import Transient, classify
from runtime.ledger.errors import ObservationTaken
from runtime.ledger.observe import ObservedChange, ObservedObject
from runtime.ledger.record import Ledger

AT_ONCE: Final = 25
"""Objects that one preview locks the parties of; events of these wait for it."""


def place_of(name: Name) -> tuple[int, str]:
    """Return the place of an object among those that are decided together."""
    family, stripe_id = name
    return (_ORDER.index(family) if family in _ORDER else len(_ORDER), stripe_id)


_ORDER: Final = tuple(
    FAMILIES[kind].stripe_name
    for kind in (Kind.CUSTOMER, Kind.SUBSCRIPTION, Kind.REFUND, Kind.CHARGE, Kind.PAYMENT_INTENT)
)
"""What dates money comes before what only sums it up: a charge tells that money went back, and not
when; an intent that it came.
"""


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

    differences: tuple[ObjectDifference, ...]
    undecided: tuple[Name, ...]


class Comparison:
    """Compares objects of one account and mode."""

    def __init__(self, engine: Engine, ledger: Ledger, realm: Realm) -> None:
        self._engine = engine
        self._ledger = ledger
        self._realm = realm

    def of_list(self, shown: Sequence[ShownObject]) -> ComparedObjects:
        """Return how the objects of a page differ; the parts of one customer may be on others."""
        differences: list[ObjectDifference] = []
        undecided: list[Name] = []
        telling = self.telling(shown)
        for start in range(0, len(telling), AT_ONCE):
            compared = self.together(telling[start : start + AT_ONCE])
            differences += compared.differences
            undecided += compared.undecided
        return ComparedObjects(differences=tuple(differences), undecided=tuple(undecided))

    def together(
        self, shown: Sequence[ShownObject], *, running: frozenset[str] = frozenset()
    ) -> ComparedObjects:
        """Return how these objects differ, each decided after those that come before it.

        ``running`` are the ids of those that Paidup thinks Stripe has.
        """
        undecided: list[Name] = []
        ordered = sorted(shown, key=lambda each: place_of(each.name))
        changes = [*self._previewed(ordered, undecided)]
        with self._engine.connect() as connection:
            stored = stored_rows(connection, keys_in(changes))
        return ComparedObjects(
            differences=differences_in(changes, stored, running=running),
            undecided=tuple(undecided),
        )

    def telling(self, shown: Sequence[ShownObject]) -> list[ShownObject]:
        """Return the objects that say something else than what is known."""
        keys = [fact.object_key for each in shown for fact in each.facts]
        with self._engine.connect() as connection:
            newest = newest_facts(connection, keys)
        return [each for each in shown if not says_the_same(each.facts, newest)]

    def _previewed(
        self, shown: Sequence[ShownObject], undecided: list[Name]
    ) -> Iterator[ObjectChange]:
        """Yield what follows from each object; halve what cannot be previewed together."""
        try:
            changes = self._ledger.preview_observed([self._observed(each) for each in shown])
        except Exception as error:
            if not _concerns_objects(error):
                raise
            if len(shown) == 1:
                undecided.append(shown[0].name)
                return
            half = len(shown) // 2
            yield from self._previewed(shown[:half], undecided)
            yield from self._previewed(shown[half:], undecided)
            return
        yield from map(_change, changes)

    def _observed(self, shown: ShownObject) -> ObservedObject:
        return ObservedObject(realm=self._realm, observation=shown.observation)


def _concerns_objects(error: Exception) -> bool:
    """Return True if the objects themselves or their locks failed, and not the surroundings."""
    return isinstance(error, ObservationTaken) or isinstance(classify(error), Transient)


def _change(change: ObservedChange) -> ObjectChange:
    shown = change.observed.observation
    return ObjectChange(name=shown.name, gone=shown.gone, decisions=change.decisions)
