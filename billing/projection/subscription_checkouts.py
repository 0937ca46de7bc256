"""The plans that a paid checkout began, as long as no snapshot of its subscription shows them.

Lines tell plans and quantities: those of the invoice that the checkout made, else those of the
checkout, which no event carries and Stripe's API shows
(https://docs.stripe.com/api/checkout/sessions/line_items). Where no line names a plan, the metadata
or the payment link of the checkout does.
"""

from collections.abc import Iterable

from billing.facts import Line
from billing.objects.checkouts import SessionState
from billing.objects.invoices import InvoiceState
from billing.objects.lines import bills_an_item
from billing.objects.plan_references import reference_of_line
from billing.projection.plan_lookup import HeldPlan, PlanLookup, add_up
from billing.projection.sold_plans import first_known, note_unsold
from billing.projection.subscription_sources import PaidCheckout, SubscriptionSource


def plans_begun(
    source: SubscriptionSource, checkout: PaidCheckout, lookup: PlanLookup
) -> tuple[HeldPlan, ...]:
    """Return the plans for which a checkout began a subscription, and note what no plan sells."""
    lines = lines_begun(source, checkout)
    if any(lookup.knew(line.names) for line in lines):
        for line in lines:
            note_unsold(reference_of_line(line), lookup)
        return plans_of_lines(lines, lookup)
    stated = checkout.session.stated
    known = first_known(stated, lookup)
    for reference in [known[0]] if known else [*map(reference_of_line, lines)] or stated:
        note_unsold(reference, lookup)
    plan = known[1].plan if known else None
    seats = sum(map(_seats, lines)) if lines else 1
    return (HeldPlan(plan, seats),) if plan else ()


def lines_begun(source: SubscriptionSource, checkout: PaidCheckout) -> list[Line]:
    """Return the lines of the items that began the subscription, from one invoice or checkout."""
    first = _first_invoice(source, checkout.session)
    billed = _of_items(first.lines.lines) if first else []
    return billed or _of_items(checkout.session.lines.lines)


def plans_of_lines(lines: Iterable[Line], lookup: PlanLookup) -> tuple[HeldPlan, ...]:
    """Return the plans of lines by their names, with the quantities of one plan added up."""
    named = ((lookup.plan_by_names(line.names), _seats(line)) for line in lines)
    return add_up(HeldPlan(plan, seats) for plan, seats in named if plan)


def _first_invoice(source: SubscriptionSource, session: SessionState) -> InvoiceState | None:
    """Return the invoice that a checkout made: the one it names, else the first that was paid."""
    named = [invoice for invoice in source.invoices if invoice.id == session.invoice]
    paid = [(each.granted.since, each.id, each) for each in source.invoices if each.granted]
    return named[0] if named else min(paid)[2] if paid else None


def _of_items(lines: Iterable[Line]) -> list[Line]:
    """Return the lines that bill an item of a subscription for a whole period."""
    return [line for line in lines if bills_an_item(line) and not line.proration and _seats(line)]


def _seats(line: Line) -> int:
    return 1 if line.quantity is None else line.quantity
