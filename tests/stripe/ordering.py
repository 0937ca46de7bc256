"""The objects of a collection in the order of their creation, as Stripe lists them.

Within one second the order is that in which they were made.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Place(NamedTuple):
    """The place of an object: its second, and its number among all of that second."""

    created: int
    number: int
    id: str


class Ordered(Protocol):
    """Objects in the order of their creation."""

    def place_of(self, stripe_id: str) -> Place | None: ...

    def before(self, place: Place | None) -> Iterator[Place]:
        """Yield those made before a place, the newest first; None means all."""
        ...

    def after(self, place: Place) -> Iterator[Place]:
        """Yield those made after a place, the oldest first."""
        ...


class CreationOrder:
    """The objects that were put here; one that was put twice keeps its first place."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._by_id: dict[str, Place] = {}

    def put(self, created: int, stripe_id: str, number: int) -> None:
        if stripe_id not in self._by_id:
            place = self._by_id[stripe_id] = Place(created, number, stripe_id)
            insort(self._places, place)

    def place_of(self, stripe_id: str) -> Place | None:
        return self._by_id.get(stripe_id)

    def before(self, place: Place | None) -> Iterator[Place]:
        end = len(self._places) if place is None else bisect_left(self._places, place)
        return (self._places[at] for at in range(end - 1, -1, -1))

    def after(self, place: Place) -> Iterator[Place]:
        begin = bisect_left(self._places, place)
        if begin < len(self._places) and self._places[begin] == place:
            begin += 1
        return (self._places[at] for at in range(begin, len(self._places)))
