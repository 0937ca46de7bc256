"""The plan behind a name at Stripe: of this catalogue, of a former one, or none.

The first name that this catalogue or a former one knows decides. What a former catalogue knew ends
the search, so that a plan that is no longer sold does not turn into another one.
"""

from collections.abc import Iterable
from typing import NamedTuple

from billing.catalogue import Plan
from billing.objects.plan_references import PlanReference
from billing.projection.plan_lookup import PlanLookup
from billing.rows import NoGrant


class SoldPlan(NamedTuple):
    """The plan of a reference now, else the plan that it had in a former catalogue."""

    plan: Plan | None
    former: Plan | None

    @property
    def is_known(self) -> bool:
        """True if this catalogue or a former one has the plan."""
        return bool(self.plan or self.former)


NO_PLAN = SoldPlan(None, None)


def sold_plan(reference: PlanReference, lookup: PlanLookup) -> SoldPlan:
    """Return the plan of a reference."""
    plan = next(iter(lookup.plans_named_by(reference)), None)
    if plan or not lookup.catalogue.former:
        return SoldPlan(plan, None)
    return SoldPlan(None, next(iter(lookup.former_plans_named_by(reference)), None))


def first_known(
    references: Iterable[PlanReference], lookup: PlanLookup
) -> tuple[PlanReference, SoldPlan] | None:
    """Return the first reference that this catalogue or a former one knows."""
    for reference in references:
        sold = sold_plan(reference, lookup)
        if sold.is_known:
            return reference, sold
    return None


def grants_nothing(reference: PlanReference, lookup: PlanLookup) -> bool:
    """Return True if the price is sold on purpose without a plan (``[catalogue] nothing``)."""
    return _nothing_in(reference, lookup) is not None


def note_unsold(reference: PlanReference, lookup: PlanLookup) -> None:
    """Note what was paid for and is in no plan, whether on purpose or not."""
    if on_purpose := _nothing_in(reference, lookup):
        lookup.note(on_purpose, NoGrant.NOTHING)
    else:
        lookup.note_unknown_reference(reference)


def _nothing_in(reference: PlanReference, lookup: PlanLookup) -> str | None:
    if lookup.catalogue.nothing.isdisjoint(reference.refs) or sold_plan(reference, lookup).plan:
        return None
    return next(ref for ref in reference.refs if ref in lookup.catalogue.nothing)
