"""Payment rows: the amount, the user and the plan of each payment and each uncovered invoice."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from billing.ids import CustomerId, PaymentRef, PlanCode, UserId
from billing.objects.observations import ReceivedMoney, first_value
from billing.objects.store import RealmObjects
from billing.projection.invoices import InvoiceMatch, MatchedPayments
from billing.projection.ownership import Ownership
from billing.projection.payments import (
    PaymentObjects,
    first_seen,
    newest_dispute,
    status_of,
)
from billing.projection.plan_lookup import PlanLookup
from billing.projection.purchases import OneTimePurchase
from billing.rows import PaymentRow, PaymentStatus


class PaymentContext(NamedTuple):
    """The inputs for naming a payment's user and plan."""

    objects: RealmObjects
    matched: MatchedPayments
    ownership: Ownership
    lookup: PlanLookup
    bought: Mapping[str, PlanCode]
    """The plan of the purchase that each reference paid for."""


class PaymentAttribution(NamedTuple):
    """The customer, the user and the plan of a payment."""

    customer_id: CustomerId | None
    user_id: UserId | None
    plan_code: PlanCode | None


def project_payments(
    objects: RealmObjects,
    matched: MatchedPayments,
    ownership: Ownership,
    lookup: PlanLookup,
    purchases: Iterable[OneTimePurchase],
) -> list[PaymentRow]:
    """Return a row for each payment with a known object, and for each uncovered invoice."""
    bought = {
        ref: purchase.plans[0].code
        for purchase in purchases
        for ref in purchase.paid_by
        if purchase.plans
    }
    context = PaymentContext(objects, matched, ownership, lookup, bought)
    known = [payment for payment in matched.payments.values() if payment.is_known]
    rows = [_row(context, payment) for payment in known]
    return rows + [
        _uncovered_row(context, matched.matches[ref], rest)
        for ref, rest in matched.uncovered.items()
    ]


def _row(context: PaymentContext, payment: PaymentObjects) -> PaymentRow:
    received = context.matched.received.get(payment.ref)
    collected = received or context.matched.collected.get(payment.ref)
    linked = context.matched.matches_of.get(payment.ref, ())
    match = next((match for match in linked if match.invoice_id), None)
    about = _attribute(context, payment, context.matched.linked(payment.ref))
    dispute = newest_dispute(payment)
    back = context.matched.back.get(payment.ref)
    return PaymentRow(
        realm=context.objects.realm,
        payment_ref=PaymentRef(payment.ref),
        user_id=about.user_id,
        stripe_customer_id=about.customer_id,
        amount_minor=received.amount if received else 0,
        amount_refunded_minor=back.amount if back else 0,
        currency=received.currency if received else _currency(payment),
        status=status_of(payment, received),
        dispute_status=dispute.newest.fields.status if dispute else None,
        invoice_id=match.invoice_id if match else None,
        plan_code=about.plan_code,
        inferred=any(match.inferred for match in linked),
        provisional=False,
        occurred_at=collected.at if collected else first_seen(payment),
        changed_at=back.changed_at if back else None,
        refunds=back.parts if back else (),
    )


def _currency(payment: PaymentObjects) -> str:
    """Return the currency of a payment of which nothing was received yet."""
    stated = [attempt.currency for attempt in payment.attempts]
    stated += [refund.currency for refund in payment.refunds]
    stated += [dispute.currency for dispute in payment.disputes]
    return stated[0]


def _uncovered_row(context: PaymentContext, match: InvoiceMatch, rest: ReceivedMoney) -> PaymentRow:
    """Return the row of an invoice or a checkout that payments do not cover yet."""
    about = _attribute(context, PaymentObjects(ref=match.ref), (match,))
    back = context.matched.back.get(match.ref)
    return PaymentRow(
        realm=context.objects.realm,
        payment_ref=PaymentRef(match.ref),
        user_id=about.user_id,
        stripe_customer_id=about.customer_id,
        amount_minor=rest.amount,
        amount_refunded_minor=back.amount if back else 0,
        currency=rest.currency,
        status=PaymentStatus.SUCCEEDED,
        dispute_status=None,
        invoice_id=match.invoice_id,
        plan_code=about.plan_code,
        inferred=False,
        provisional=True,
        occurred_at=rest.at,
        changed_at=back.changed_at if back else None,
        refunds=back.parts if back else (),
    )


def _attribute(
    context: PaymentContext, payment: PaymentObjects, matches: Sequence[InvoiceMatch]
) -> PaymentAttribution:
    customer_id = first_value((payment.customer_id, *[match.customer_id for match in matches]))
    subscription = first_value([match.subscription for match in matches])
    bought = first_value(
        [context.bought.get(ref) for ref in (payment.ref, *[b.ref for b in matches])]
    )
    owner = context.ownership.of_paid(payment.ref)
    return PaymentAttribution(
        customer_id=customer_id,
        user_id=owner.user_id,
        plan_code=(_plan_billed(context, matches, subscription) if subscription else None)
        or bought,
    )


def _plan_billed(
    context: PaymentContext, matches: Sequence[InvoiceMatch], subscription: str
) -> PlanCode | None:
    """Return the plan on the invoice; of several (an upgrade), the subscription's present one."""
    billed = [
        plan.code
        for match in matches
        for plan_reference in (match.invoice.plan_references if match.invoice else ())
        for plan in context.lookup.plans_named_by(plan_reference)
    ]
    listed = list(dict.fromkeys(billed))
    if len(listed) == 1:
        return listed[0]
    snapshot = context.objects.subscriptions.get(subscription)
    items = snapshot.items if snapshot else ()
    held = [each.plan.code for each in context.lookup.held_plans(items)]
    sessions = [match.session for match in matches if match.session]
    stated = [reference for session in sessions for reference in session.plan_references]
    checkout = [p.code for each in stated for p in context.lookup.plans_named_by(each)]
    both = [code for code in held if code in listed]
    return next(iter((*both, *listed, *held, *checkout)), None)
