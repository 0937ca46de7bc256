"""The plan of something sold: by the names it has and the catalogue that assigns them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from billing.catalogue import Catalogue, Plan
from billing.facts import Item
from billing.objects.plan_references import PlanReference


class HeldPlan(NamedTuple):
    """A plan and the number of seats that are paid for."""

    plan: Plan
    quantity: int


def no_longer_sold(what: str, plan: Plan) -> str:
    """Return the reason why something grants nothing under a plan that it granted once."""
    plan_then = f"{what} granted plan {plan.code} under an earlier catalogue"
    return f"{plan_then}, but not under the current one."


@dataclass(slots=True, kw_only=True)
class PlanLookup:
    """The catalogue with a cache for one party, which asks for the same names repeatedly.

    ``unknown`` collects the names that no plan sells; every projection clears it.
    """

    catalogue: Catalogue
    unknown: set[str] = field(default_factory=set)
    _by_reference: dict[PlanReference, tuple[Plan, ...]] = field(default_factory=dict)
    _by_names: dict[tuple[str | None, ...], Plan | None] = field(default_factory=dict)
    _lookups_before: list["PlanLookup"] = field(default_factory=list)

    def plans_named_by(self, plan_reference: PlanReference) -> tuple[Plan, ...]:
        """Return the plans of a reference, by price names or by plan code, once each."""
        plans = self._by_reference.get(plan_reference)
        if plans is None:
            coded = self.catalogue.plan_by_code(plan_reference.plan_code)
            named = [
                coded,
                *(self.catalogue.plan_by_names(names) for names in plan_reference.price_names),
            ]
            plans = tuple({p.code: p for p in named if p is not None}.values())
            self._by_reference[plan_reference] = plans
        return plans

    def former_plans_named_by(self, plan_reference: PlanReference) -> tuple[Plan, ...]:
        """Return the plans of a reference in former catalogues.

        A plan that the present catalogue still has is returned in its present form.
        """
        found: dict[str, Plan] = {}
        for lookup in self._former_lookups():
            for plan in lookup.plans_named_by(plan_reference):
                found.setdefault(plan.code, self._current_plan(plan))
        return tuple(found.values())

    def held_plans(self, items: Iterable[Item]) -> tuple[HeldPlan, ...]:
        """Return the plans of subscription items, with the quantities of one plan added up."""
        held: dict[str, HeldPlan] = {}
        for item in items:
            plan = self.plan_of(item)
            if plan is not None:
                had = held[plan.code].quantity if plan.code in held else 0
                held[plan.code] = HeldPlan(plan, had + item.quantity)
        return tuple(held.values())

    def former_held_plans(self, items: Iterable[Item]) -> tuple[HeldPlan, ...]:
        """Return the plans of subscription items in former catalogues."""
        items = tuple(items)
        held: dict[str, HeldPlan] = {}
        for lookup in self._former_lookups():
            for plan, quantity in lookup.held_plans(items):
                held.setdefault(plan.code, HeldPlan(self._current_plan(plan), quantity))
        return tuple(held.values())

    def _former_lookups(self) -> Iterable["PlanLookup"]:
        """Return a lookup for each former catalogue, the newest first, made on first use."""
        if not self._lookups_before:
            self._lookups_before += (PlanLookup(catalogue=each) for each in self.catalogue.former)
        return self._lookups_before

    def _current_plan(self, plan: Plan) -> Plan:
        return self.catalogue.plan_by_code(plan.code) or plan

    def plan_of(self, item: Item) -> Plan | None:
        """Return the plan of one subscription item, by the most trusted of its names."""
        names = (item.price, item.lookup_key, item.product)
        if names not in self._by_names:
            self._by_names[names] = self.catalogue.plan_by_names(names)
        return self._by_names[names]

    def note_unknown_items(self, items: Iterable[Item]) -> None:
        """Note the items of a running subscription that no plan sells."""
        for item in items:
            name = item.price or item.lookup_key or item.product
            if name and self.plan_of(item) is None:
                self.unknown.add(name)

    def note_unknown_reference(self, plan_reference: PlanReference) -> None:
        """Note what was paid for although no plan sells it."""
        if plan_reference.plan_code is not None and not self.plans_named_by(plan_reference):
            self.unknown.add(plan_reference.plan_code)
        for names in plan_reference.price_names:
            if self.catalogue.plan_by_names(names) is None:
                self.unknown.add(names[0])
