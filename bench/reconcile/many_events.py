"""A million events that Stripe lists and of which none is kept: each is made from its number."""

import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from tests.stripe.ordering import Place

PREFIX: Final = "evt_many_"
TYPE: Final = "charge.succeeded"
_ID: Final = "EVENT_ID"
_CREATED: Final = 1_234_512_345


@dataclass(frozen=True)
class ManyEvents:
    """``number`` events, evenly between two seconds; ``example`` is the payload of each."""

    number: int
    oldest: int
    newest: int
    example: dict[str, Any]

    def created(self, number: int) -> int:
        """Return the second in which an event happened."""
        return self.oldest + (self.newest - self.oldest) * number // self.number

    def event_id(self, number: int) -> str:
        """Return the id of an event."""
        return f"{PREFIX}{number:08}"

    def place_of(self, stripe_id: str) -> Place | None:
        """Return the place of one of these events."""
        digits = stripe_id.removeprefix(PREFIX)
        known = stripe_id.startswith(PREFIX) and digits.isdigit() and int(digits) < self.number
        return self._place(int(digits)) if known else None

    def before(self, place: Place | None) -> Iterator[Place]:
        """Yield those before a place, the newest first."""
        end = self.number if place is None else self._index(place)
        return map(self._place, range(end - 1, -1, -1))

    def after(self, place: Place) -> Iterator[Place]:
        """Yield those after a place, the oldest first."""
        begin = self._index(place)
        begin += begin < self.number and self._place(begin) == place
        return map(self._place, range(begin, self.number))

    def types(self) -> frozenset[str]:
        """Return the only type."""
        return frozenset({TYPE})

    def type_of(self, _event_id: str) -> str:
        """Return the type of an event."""
        return TYPE

    def subject_of(self, event_id: str) -> tuple[str, str]:
        """Return an object that no other event is about."""
        return "charge", f"ch_{event_id}"

    def event(self, event_id: str) -> bytes:
        """Return the JSON of an event."""
        place = self.place_of(event_id)
        assert place is not None  # noqa: S101 - it was listed
        first, second, third = self._pieces
        return first + event_id.encode() + second + str(place.created).encode() + third

    def _place(self, number: int) -> Place:
        return Place(self.created(number), number, self.event_id(number))

    def _index(self, place: Place) -> int:
        return bisect_left(range(self.number), place, key=self._place)

    @cached_property
    def _pieces(self) -> tuple[bytes, bytes, bytes]:
        """Return what stands before, between and after the id and the time of an event."""
        payload = {"id": _ID, "created": _CREATED, **_without(self.example)}
        text = json.dumps({**payload, "type": TYPE})
        first, _, rest = text.partition(_ID)
        second, _, third = rest.partition(str(_CREATED))
        return first.encode(), second.encode(), third.encode()


def _without(example: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in example.items() if name not in {"id", "created"}}
