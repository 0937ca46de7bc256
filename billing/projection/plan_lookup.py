"""Which plan something paid for is about: by what it names, and what the catalogue sells."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from billing.catalogue import Catalogue, Plan
from billing.facts import Item
from billing.objects.plan_references import Offer


class Held(NamedTuple):
    """A plan and how many seats of it are paid for."""

    plan: Plan
    quantity: int


def sold_before(what: str, plan: Plan) -> str:
    """Why something gives nothing under a plan that it stood for once."""
    return f"{what} stood for plan {plan.code} by earlier plans, and does not by those of record."


@dataclass(slots=True, kw_only=True)
class Shelf:
    """The catalogue as one party asks it, again and again about the same things.

    ``unknown`` collects what was named and is not sold; every projection begins it anew.
    """

    catalogue: Catalogue
    unknown: set[str] = field(default_factory=set)
    _offered: dict[Offer, tuple[Plan, ...]] = field(default_factory=dict)
    _sold: dict[tuple[str | None, ...], Plan | None] = field(default_factory=dict)
    _former: list["Shelf"] = field(default_factory=list)

    def plans_offered(self, offer: Offer) -> tuple[Plan, ...]:
        """Plans that an offer names, by what they sell or by their own code, once each."""
        plans = self._offered.get(offer)
        if plans is None:
            coded = self.catalogue.plan_coded(offer.plan_code)
            named = [coded, *(self.catalogue.plan_named(thing) for thing in offer.things)]
            plans = tuple({p.code: p for p in named if p is not None}.values())
            self._offered[offer] = plans
        return plans

    def plans_formerly_offered(self, offer: Offer) -> tuple[Plan, ...]:
        """Plans that an offer named by catalogues of before, as they are now, else as they were."""
        found: dict[str, Plan] = {}
        for shelf in self._earlier():
            for plan in shelf.plans_offered(offer):
                found.setdefault(plan.code, self._as_it_is(plan))
        return tuple(found.values())

    def plans_held(self, items: Iterable[Item]) -> tuple[Held, ...]:
        """The plans that subscription items stand for, quantities of one plan added up."""
        held: dict[str, Held] = {}
        for item in items:
            plan = self.plan_of(item)
            if plan is not None:
                had = held[plan.code].quantity if plan.code in held else 0
                held[plan.code] = Held(plan, had + item.quantity)
        return tuple(held.values())

    def plans_formerly_held(self, items: Iterable[Item]) -> tuple[Held, ...]:
        """The plans that subscription items stood for by catalogues of before."""
        items = tuple(items)
        held: dict[str, Held] = {}
        for shelf in self._earlier():
            for plan, quantity in shelf.plans_held(items):
                held.setdefault(plan.code, Held(self._as_it_is(plan), quantity))
        return tuple(held.values())

    def _earlier(self) -> Iterable["Shelf"]:
        """One for each catalogue of before, the newest first; made when they are asked for."""
        if not self._former:
            self._former += (Shelf(catalogue=each) for each in self.catalogue.former)
        return self._former

    def _as_it_is(self, plan: Plan) -> Plan:
        return self.catalogue.plan_coded(plan.code) or plan

    def plan_of(self, item: Item) -> Plan | None:
        """The plan of one subscription item, told by the most trusted of its names."""
        names = (item.price, item.lookup_key, item.product)
        if names not in self._sold:
            self._sold[names] = self.catalogue.plan_named(names)
        return self._sold[names]

    def note_unknown_items(self, items: Iterable[Item]) -> None:
        """Remember what a living subscription runs on and no plan sells."""
        for item in items:
            name = item.price or item.lookup_key or item.product
            if name and self.plan_of(item) is None:
                self.unknown.add(name)

    def note_unknown_offer(self, offer: Offer) -> None:
        """Remember what was paid for and no plan sells."""
        if offer.plan_code is not None and not self.plans_offered(offer):
            self.unknown.add(offer.plan_code)
        for thing in offer.things:
            if self.catalogue.plan_named(thing) is None:
                self.unknown.add(thing[0])
