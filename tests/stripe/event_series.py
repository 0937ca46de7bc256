"""Events by the million: none is kept, each is written from its number when someone asks for it.

Each restates a customer of a company as it is, so it changes nothing wherever it is applied.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ops.samples.api_shapes import Shape
from ops.samples.worlds.records import Customer
from ops.samples.worlds.rendering import render_event
from tests.stripe.company import Company
from tests.stripe.ordering import Place
from tests.stripe.state import Json

TYPE: Final = "customer.updated"
_FOOTER: Final = "Payable within thirty days. " * 80
"""Fills an event to the size of most, some 3 kB."""
_DIGITS: Final = 18
_ID, _CREATED, _OBJECT = "evt_of_number", 9_999_999_999, {"of": "customer"}


@dataclass(frozen=True, kw_only=True)
class EventSeries:
    """So many events, spread evenly from one second to another; ``name`` is part of their ids."""

    customers: Sequence[Json]
    count: int
    begins: int
    ends: int
    livemode: bool = False
    name: str = "series"
    _bodies: list[bytes] = field(default_factory=list)
    _template: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Write what all events share, and each customer once."""
        data = {"object": _OBJECT, "previous_attributes": {"invoice_settings": {"footer": None}}}
        envelope = render_event(
            TYPE,
            data,
            event_id=_ID,
            created=_CREATED,
            api_version=Shape.NEW.api_version,
            livemode=self.livemode,
        )
        rest = json.dumps(envelope)
        for mark in (json.dumps(_ID), str(_CREATED), json.dumps(_OBJECT)):
            part, _, rest = rest.partition(mark)
            self._template.append(part.encode())
        self._template.append(rest.encode())
        for customer in self.customers:
            whole = {**customer, "invoice_settings": {"footer": _FOOTER}}
            self._bodies.append(json.dumps(whole).encode())

    def id_of(self, number: int) -> str:
        """Return the id of the event with a number, which begins with 0."""
        return f"evt_{self.name}{number:0{_DIGITS}}"

    def created_at(self, number: int) -> int:
        """Return the second in which an event was made."""
        return self.begins + number * (self.ends - self.begins) // self.count

    def place_of(self, stripe_id: str) -> Place | None:
        digits = stripe_id.removeprefix(f"evt_{self.name}")
        if len(digits) != _DIGITS or not digits.isdigit() or int(digits) >= self.count:
            return None
        return self._place(int(digits))

    def _place(self, number: int) -> Place:
        return Place(self.created_at(number), number, self.id_of(number))

    def before(self, place: Place | None) -> Iterator[Place]:
        end = (
            self.count if place is None else bisect_left(range(self.count), place, key=self._place)
        )
        return (self._place(number) for number in range(end - 1, -1, -1))

    def after(self, place: Place) -> Iterator[Place]:
        begin = bisect_left(range(self.count), place, key=self._place)
        begin += begin < self.count and self._place(begin) == place
        return (self._place(number) for number in range(begin, self.count))

    def types(self) -> frozenset[str]:
        return frozenset({TYPE})

    def type_of(self, event_id: str) -> str:
        del event_id
        return TYPE

    def subject_of(self, event_id: str) -> tuple[str, str]:
        return "customer", str(self.customers[self._number(event_id) % len(self.customers)]["id"])

    def event(self, event_id: str) -> bytes:
        number = self._number(event_id)
        values = (
            f'"{event_id}"'.encode(),
            str(self.created_at(number)).encode(),
            self._bodies[number % len(self._bodies)],
        )
        parts = [each for pair in zip(self._template, values, strict=False) for each in pair]
        return b"".join([*parts, self._template[-1]])

    def _number(self, event_id: str) -> int:
        return int(event_id[-_DIGITS:])


def add_series(company: Company, count: int, *, days: int = 29) -> EventSeries:
    """Have a company's Stripe list so many events more, over the days before its ``now``."""
    account, plan = company.stripe, company.plan
    customers = [
        account.show(record, Shape.NEW)
        for each in company.subscribers
        for record in each.account.of(Customer)
        if not record.deleted
    ]
    series = EventSeries(
        customers=customers,
        count=count,
        begins=plan.now - days * 86_400,
        ends=plan.now,
        livemode=plan.livemode,
        name=f"series{plan.seed}x",
    )
    account.event_sources.append(series)
    return series
