"""Everything that was paid for and grants nothing, with the reason.

The rules of subscriptions and purchases note the prices that are in no plan where they meet them.
This module notes the rest: plans without features, and paid lines that buy nothing, because they
name no price, are a part of their subscription, or grant nothing on purpose.
"""

from collections.abc import Iterable

from billing.facts import Line
from billing.objects.checkouts import SessionState
from billing.objects.lines import bills_an_item
from billing.objects.plan_references import reference_of_line
from billing.projection.invoices import InvoiceMatch, MatchedPayments
from billing.projection.plan_lookup import PlanLookup
from billing.projection.purchase_lines import (
    BoughtLine,
    SubscriptionPlans,
    may_buy,
    why_no_purchase,
)
from billing.projection.purchases import OneTimePurchase, Purchases
from billing.projection.sold_plans import note_unsold
from billing.rows import EntitlementRow, NoGrant


def note_empty_plans(rows: Iterable[EntitlementRow], lookup: PlanLookup) -> None:
    """Note the plans of grants in force that let their users do nothing."""
    for row in rows:
        if row.active and not any(row.entitlements.values()):
            lookup.note(row.plan_code, NoGrant.EMPTY_PLAN)


def note_paid_lines(
    matched: MatchedPayments, purchases: Purchases, plans: SubscriptionPlans
) -> None:
    """Note the paid lines that buy nothing, and the purchases of which nothing says what for."""
    paid = [each for each in purchases.bought if each.granted]
    named = {each.invoice.id for each in paid if each.invoice and any(map(_is_whole, each.lines))}
    for ref, match in matched.matches.items():
        if _is_paid(match, matched):
            _note_invoice(match, plans, is_named=ref in named)
    for purchase in paid:
        session = purchase.session
        if session and not (purchase.invoice and purchase.invoice.lines.lines):
            _note_checkout(purchase, session, plans, is_assumed=session.id in purchases.assumed)


def _is_whole(line: BoughtLine) -> bool:
    """Return True if the line stands for a whole purchase that names something."""
    return not line.line and line.is_named


def _is_paid(match: InvoiceMatch, matched: MatchedPayments) -> bool:
    if match.invoice is None:
        return False
    linked = () if match.inferred else match.payments
    return bool(match.invoice.granted) or any(ref in matched.received for ref in linked)


def _note_invoice(match: InvoiceMatch, plans: SubscriptionPlans, *, is_named: bool) -> None:
    invoice = match.invoice
    assert invoice is not None, "it is paid"  # noqa: S101 - for the reader
    for line in filter(may_buy, invoice.lines.lines):
        billed = {each for each in (match.subscription, line.subscription) if each}
        _note(line, billed, plans, None if is_named else invoice.id)
    bills_nothing = not (invoice.lines.lines or match.subscription or match.session)
    if bills_nothing and not is_named and match.paid and match.paid.amount:
        plans.lookup.note(invoice.id, NoGrant.UNNAMED)


def _note_checkout(
    purchase: OneTimePurchase, session: SessionState, plans: SubscriptionPlans, *, is_assumed: bool
) -> None:
    """Note the lines of a checkout, or the checkout if nothing names what it sold."""
    began = {session.subscription} if session.subscription else set()
    unnamed = None if any(map(_is_whole, purchase.lines)) else purchase.ref
    for line in session.lines.lines:
        if not bills_an_item(line):
            _note(line, began, plans, unnamed)
    if unnamed and not (session.lines.lines or is_assumed):
        plans.lookup.note(unnamed, NoGrant.UNNAMED)


def _note(line: Line, billed: set[str], plans: SubscriptionPlans, unnamed: str | None) -> None:
    """Note a line that buys nothing; without a price under ``unnamed``, if that is given."""
    why, reference = why_no_purchase(line, billed, plans), line.invoice_item or line.id or unnamed
    if why is NoGrant.NOTHING:
        note_unsold(reference_of_line(line), plans.lookup)
    elif why is NoGrant.PART_OF_SUBSCRIPTION and reference:
        plans.lookup.note(reference, why)
    elif why is NoGrant.UNNAMED and unnamed:
        plans.lookup.note(unnamed, why)
