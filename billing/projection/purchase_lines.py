"""The lines of a purchase: each buys one thing.

A line of an invoice buys a plan if its amount before discounts is positive, it is no proration, it
bills no item of a subscription, and its price names a plan. A line of a checkout may be free. On an
invoice of a subscription the product of a price says too little (setup fees and overages share it),
and a plan that an item of it was ever for is a part of the subscription.

Invoice lines: https://docs.stripe.com/api/invoice-line-item/object
Line items of a checkout: https://docs.stripe.com/api/checkout/sessions/line_items
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from billing.catalogue import Plan
from billing.facts import Line
from billing.objects.lines import bills_an_item
from billing.objects.plan_references import (
    PlanReference,
    reference_of_line,
    reference_without_product,
)
from billing.objects.store import RealmObjects
from billing.projection.plan_lookup import PlanLookup
from billing.projection.sold_plans import (
    NO_PLAN,
    SoldPlan,
    first_known,
    grants_nothing,
    note_unsold,
    sold_plan,
)
from billing.projection.subscription_plans import plans_of_runs
from billing.rows import NoGrant

SHORTEST_PERIOD: Final = timedelta(days=1)
"""The period of a line that bills no time is a moment; a shorter one than this ends nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoughtLine:
    """One line that was bought, or all of a purchase whose lines are not known.

    ``line`` is the invoice item, else the line's own id, else empty. ``period_end`` is the end of
    the time that the line itself is for.
    """

    line: str
    reference: PlanReference
    sold: SoldPlan
    quantity: int = 1
    period_end: datetime | None = None
    invoice_line: str | None = None
    """The id by which credit notes name the line."""
    amount: int = 0
    """The amount before discounts."""

    @property
    def is_named(self) -> bool:
        """True if anything names what was bought, whether or not a plan is called so."""
        return bool(self.reference.refs or self.reference.plan_code)


@dataclass(slots=True)
class SubscriptionPlans:
    """The plans that the items of each subscription of a realm were ever for, by one catalogue.

    ``drops_former_plan`` is set by a line or a payment that buys nothing, if a former catalogue has
    a plan for it; who reads it clears it.
    """

    objects: RealmObjects
    lookup: PlanLookup
    drops_former_plan: bool = False
    _by_subscription: dict[str, frozenset[str]] = field(default_factory=dict)
    _billed: dict[str, list[Line]] | None = None
    _former: "list[SubscriptionPlans] | None" = None

    def of(self, subscription: str) -> frozenset[str]:
        """Return the codes of the plans, by its snapshots and by the lines that bill its items."""
        if subscription not in self._by_subscription:
            self._by_subscription[subscription] = frozenset(self._codes(subscription))
        return self._by_subscription[subscription]

    def former(self) -> "list[SubscriptionPlans]":
        """Return the same by each former catalogue, the oldest first, made on first use."""
        if self._former is None:
            before = list(self.lookup.former_lookups())
            billed = self._billed_lines()
            self._former = [
                SubscriptionPlans(self.objects, each, _billed=billed) for each in reversed(before)
            ]
        return self._former

    def note_dropped(self, references: Iterable[PlanReference]) -> None:
        """Note the names of a line or a payment that buys nothing."""
        if any(self.lookup.former_plans_named_by(reference) for reference in references):
            self.drops_former_plan = True

    def _codes(self, subscription: str) -> Iterator[str]:
        snapshot = self.objects.subscriptions.get(subscription)
        runs = snapshot.item_runs if snapshot else ()
        for lookup in (self.lookup, *self.lookup.former_lookups()):
            for run in plans_of_runs(runs, lookup):
                yield from (held.plan.code for held in run.held)
        for line in self._billed_lines().get(subscription, ()):
            sold = sold_plan(reference_of_line(line), self.lookup)
            yield from (plan.code for plan in sold if plan)

    def _billed_lines(self) -> dict[str, list[Line]]:
        if self._billed is None:
            self._billed = defaultdict(list)
            for invoice in self.objects.invoices.values():
                for line in invoice.lines.lines:
                    subscription = line.subscription or invoice.subscription
                    if subscription and bills_an_item(line):
                        self._billed[subscription].append(line)
        return self._billed


def may_buy(line: Line) -> bool:
    """Return True if a line of an invoice can be a purchase, by all but the names of its price."""
    return line.amount > 0 and not line.proration and not bills_an_item(line)


def lines_of_invoice(
    lines: Iterable[Line], subscription: str | None, plans: SubscriptionPlans
) -> tuple[BoughtLine, ...]:
    """Return what the lines of an invoice buy; ``subscription`` is the one that it bills."""
    found = [
        _bought(line, {each for each in (subscription, line.subscription) if each}, plans)
        for line in lines
        if may_buy(line)
    ]
    bought = (line for line in found if line)
    # The period of a line on a subscription's invoice says when its item was added, no more.
    return tuple(replace(each, period_end=None) if subscription else each for each in bought)


def lines_of_checkout(
    lines: Iterable[Line], subscription: str | None, plans: SubscriptionPlans
) -> tuple[BoughtLine, ...]:
    """Return what the line items of a checkout buy; ``subscription`` is the one that it began."""
    began = {subscription} if subscription else set()
    found = (_bought(line, began, plans) for line in lines if not bills_an_item(line))
    return tuple(line for line in found if line)


def why_no_purchase(
    line: Line, subscriptions: set[str], plans: SubscriptionPlans
) -> NoGrant | None:
    """Return why a line buys nothing: it has no price, grants nothing or belongs to the rest.

    ``subscriptions`` are those that it bills; a plan that one of them was ever for is theirs.
    """
    whole = reference_of_line(line)
    if not whole.refs:
        return NoGrant.UNNAMED
    if grants_nothing(whole, plans.lookup):
        return NoGrant.NOTHING
    if subscriptions:
        held = frozenset[str]().union(*(plans.of(each) for each in subscriptions))
        sold = sold_plan(reference_without_product(line), plans.lookup)
        known = sold if sold.is_known else sold_plan(whole, plans.lookup)
        if any(plan.code in held for plan in known if plan):
            return NoGrant.PART_OF_SUBSCRIPTION
    return None


def _bought(line: Line, subscriptions: set[str], plans: SubscriptionPlans) -> BoughtLine | None:
    """Return what a line buys; None if it buys nothing."""
    if why_no_purchase(line, subscriptions, plans):
        plans.note_dropped((reference_of_line(line),))
        return None
    reference = reference_without_product(line) if subscriptions else reference_of_line(line)
    return BoughtLine(
        line=line.invoice_item or line.id or "",
        reference=reference,
        sold=sold_plan(reference, plans.lookup),
        quantity=1 if line.quantity is None else line.quantity,
        period_end=_period_end(line),
        invoice_line=line.id,
        amount=line.amount,
    )


def _period_end(line: Line) -> datetime | None:
    if line.period_start is None or line.period_end is None:
        return None
    lasts = line.period_end - line.period_start
    return line.period_end if lasts >= SHORTEST_PERIOD else None


def named_otherwise(
    lines: tuple[BoughtLine, ...], stated: Iterable[PlanReference], lookup: PlanLookup
) -> tuple[BoughtLine, ...]:
    """Return the lines, or what metadata and payment link name if no line names a plan.

    A single line keeps its quantity and its period; of several it is not known which is meant.
    Where no name is known at all, the names stand without a plan.
    """
    if any(line.sold.is_known for line in lines):
        return lines
    stated = tuple(stated)
    known = first_known(stated, lookup)
    if known:
        reference, sold = known
        if len(lines) == 1:
            return (replace(lines[0], reference=reference, sold=sold),)
        return (BoughtLine(line="", reference=reference, sold=sold),)
    return lines or tuple(BoughtLine(line="", reference=each, sold=NO_PLAN) for each in stated[:1])


def note_unsold_lines(
    lines: Iterable[BoughtLine], stated: Iterable[PlanReference], lookup: PlanLookup
) -> None:
    """Note every name of what was paid for and is in no plan."""
    unsold = [line.reference for line in lines if not line.sold.plan]
    for reference in unsold:
        note_unsold(reference, lookup)
    if unsold:
        for reference in stated:
            if not sold_plan(reference, lookup).is_known:
                note_unsold(reference, lookup)


def plans_of(lines: Iterable[BoughtLine]) -> tuple[Plan, ...]:
    """Return each plan of the lines once."""
    plans = (line.sold.plan for line in lines)
    return tuple({plan.code: plan for plan in plans if plan}.values())
