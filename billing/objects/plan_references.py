"""References from Stripe's objects to the plan that was bought."""

from collections.abc import Iterable
from dataclasses import dataclass

from billing.facts import CheckoutSessionFields

_PRICE_PREFIXES = ("price_", "plan_")


_PRODUCT_PREFIX = "prod_"


LINE_ITEM_TRUST = 0
"""The trust in line items, which state what was sold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReference:
    """One way of naming what was bought; a lower ``trust`` number is believed first."""

    trust: int
    refs: tuple[str, ...] = ()
    plan_code: str | None = None

    @property
    def price(self) -> str | None:
        """The price id among the names, for rows."""
        return next((ref for ref in self.refs if ref.startswith(_PRICE_PREFIXES)), None)

    @property
    def price_names(self) -> tuple[tuple[str, ...], ...]:
        """The names of each price: from its price id to its product id."""
        price_names: list[tuple[str, ...]] = []
        ended = True
        for ref in self.refs:
            if ended or ref.startswith(_PRICE_PREFIXES):
                price_names.append((ref,))
            else:
                price_names[-1] += (ref,)
            ended = ref.startswith(_PRODUCT_PREFIX)
        return tuple(price_names)


NO_PLAN_REFERENCE = PlanReference(trust=9)


def reference_in_session(fields: CheckoutSessionFields) -> PlanReference:
    """Return the reference by line items, else by metadata, else by payment link."""
    if fields.line_item_refs:
        return PlanReference(trust=LINE_ITEM_TRUST, refs=fields.line_item_refs)
    if stated := reference_in_metadata(fields.price_id, fields.plan_code):
        return stated
    return (
        PlanReference(trust=3, refs=(fields.payment_link,))
        if fields.payment_link
        else NO_PLAN_REFERENCE
    )


def reference_in_metadata(price_id: str | None, plan_code: str | None) -> PlanReference | None:
    """Return the reference of an application's own metadata: the price, else the plan."""
    if price_id:
        return PlanReference(trust=1, refs=(price_id,))
    return PlanReference(trust=2, plan_code=plan_code) if plan_code else None


def most_trusted(plan_references: Iterable[PlanReference]) -> PlanReference:
    """Return the newest of the most trusted references of one object, given oldest first."""
    return min(reversed(tuple(plan_references)), key=lambda plan_reference: plan_reference.trust)
