"""The plan of something sold: by the names it has and the catalogue that assigns them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from billing.catalogue import Catalogue, Plan
from billing.objects.plan_references import PlanReference
from billing.rows import NoGrant

_PRESSING: Final = tuple(NoGrant)

Names = tuple[str | None, ...]
"""The names of something sold, the most trusted first: price id, lookup keys, product id."""


class Sold(Protocol):
    """Something sold: an item of a subscription, or a line."""

    @property
    def names(self) -> Names:
        """The names under which it was sold."""

    @property
    def quantity(self) -> int:
        """The number of seats."""


class HeldPlan(NamedTuple):
    """A plan and the number of seats that are paid for."""

    plan: Plan
    quantity: int


def add_up(held_plans: Iterable[HeldPlan]) -> tuple[HeldPlan, ...]:
    """Return each plan once, with its quantities added up."""
    held: dict[str, HeldPlan] = {}
    for plan, quantity in held_plans:
        had = held[plan.code].quantity if plan.code in held else 0
        held[plan.code] = HeldPlan(plan, had + quantity)
    return tuple(held.values())


def most_pressing(*noted: Mapping[str, NoGrant]) -> dict[str, NoGrant]:
    """Return everything that was noted, each with the most pressing reason."""
    found: dict[str, NoGrant] = {}
    for each in noted:
        found |= {name: _worse(found.get(name, why), why) for name, why in each.items()}
    return found


def _worse(one: NoGrant, other: NoGrant) -> NoGrant:
    return min(one, other, key=_PRESSING.index)


def no_longer_sold(what: str, plan: Plan) -> str:
    """Return the reason why something grants nothing under a plan that it granted once."""
    plan_then = f"{what} granted plan {plan.code} under an earlier catalogue"
    return f"{plan_then}, but not under the current one."


@dataclass(slots=True, kw_only=True)
class PlanLookup:
    """The catalogue with a cache for one party, which asks for the same names repeatedly.

    ``without_grant`` collects what was paid for and grants nothing; every projection clears it.
    """

    catalogue: Catalogue
    without_grant: dict[str, NoGrant] = field(default_factory=dict)
    _by_reference: dict[PlanReference, tuple[Plan, ...]] = field(default_factory=dict)
    _by_names: dict[Names, Plan | None] = field(default_factory=dict)
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
        for lookup in self.former_lookups():
            for plan in lookup.plans_named_by(plan_reference):
                found.setdefault(plan.code, self.in_present_form(plan))
        return tuple(found.values())

    def held_plans(self, items: Iterable[Sold]) -> tuple[HeldPlan, ...]:
        """Return the plans of items by their names, with the quantities of one plan added up."""
        named = ((self.plan_by_names(item.names), item.quantity) for item in items)
        return add_up(HeldPlan(plan, quantity) for plan, quantity in named if plan)

    def plan_by_names(self, names: Names) -> Plan | None:
        """Return the plan that the first known name stands for."""
        if names not in self._by_names:
            self._by_names[names] = self.catalogue.plan_by_names(names)
        return self._by_names[names]

    def knows(self, names: Names) -> bool:
        """Return True if a name stands for a plan or, on purpose, for nothing."""
        return bool(self.plan_by_names(names)) or self.catalogue.first_known(names) is not None

    def knew(self, names: Names) -> bool:
        """Return True if this catalogue or one before it knows a name."""
        return self.knows(names) or any(each.knows(names) for each in self.former_lookups())

    def former_lookups(self) -> Iterable["PlanLookup"]:
        """Return a lookup for each former catalogue, the newest first, made on first use."""
        if not self._lookups_before:
            former = self.catalogue.former
            self._lookups_before += (
                PlanLookup(catalogue=each.with_former(reversed(former[place:])))
                for place, each in enumerate(former, start=1)
            )
        return self._lookups_before

    def in_present_form(self, plan: Plan) -> Plan:
        """Return the plan of a former catalogue as the present one has it, if it does."""
        return self.catalogue.plan_by_code(plan.code) or plan

    def note(self, name: str, why: NoGrant) -> None:
        """Note that something grants nothing; of several reasons the most pressing stays."""
        self.without_grant[name] = _worse(self.without_grant.get(name, why), why)

    def note_unknown_reference(self, plan_reference: PlanReference) -> None:
        """Note what was paid for although no plan sells it."""
        former = bool(self.former_plans_named_by(plan_reference))
        why = NoGrant.FORMER_PRICE if former else NoGrant.UNKNOWN_PRICE
        if plan_reference.plan_code is not None and not self.plans_named_by(plan_reference):
            self.note(plan_reference.plan_code, why)
        for names in plan_reference.price_names:
            if not self.knows(names):
                self.note(names[0], why)
