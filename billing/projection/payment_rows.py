"""Payment rows: what each payment and each uncovered bill comes to, whose it is and what for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from billing.ids import CustomerId, PaymentRef, PlanCode, UserId
from billing.objects.checkouts import Session
from billing.objects.observations import Received, Said, first
from billing.objects.store import Objects
from billing.projection.invoices import Bill, Books
from billing.projection.ownership import Users, newest
from billing.projection.payments import Payment, first_seen, newest_dispute, refunded, status_of
from billing.projection.plan_lookup import Shelf
from billing.projection.purchases import Purchase
from billing.rows import PaymentRow, PaymentStatus


class Reader(NamedTuple):
    """What naming a payment's user and plan needs."""

    objects: Objects
    books: Books
    users: Users
    shelf: Shelf
    bought: Mapping[str, PlanCode]
    """The plan of the purchase that each reference paid for."""


class About(NamedTuple):
    """Everything beside the money: whose it is and which plan it pays for."""

    customer_id: CustomerId | None
    user_id: UserId | None
    plan_code: PlanCode | None


def project_payments(
    objects: Objects, books: Books, users: Users, shelf: Shelf, purchases: Iterable[Purchase]
) -> list[PaymentRow]:
    """One row for each payment that something happened to, one for each uncovered bill."""
    bought = {
        ref: purchase.plans[0].code
        for purchase in purchases
        for ref in purchase.paid_by
        if purchase.plans
    }
    reader = Reader(objects, books, users, shelf, bought)
    known = [payment for payment in books.payments.values() if payment.is_known]
    rows = [_row(reader, payment) for payment in known]
    return rows + [_rest(reader, books.bills[ref], rest) for ref, rest in books.uncovered.items()]


def _row(reader: Reader, payment: Payment) -> PaymentRow:
    came_in = reader.books.came_in.get(payment.ref)
    linked = reader.books.bills_of.get(payment.ref, ())
    bill = next((bill for bill in linked if bill.invoice_id), None)
    about = _about(reader, payment, linked)
    dispute = newest_dispute(payment)
    return PaymentRow(
        realm=reader.objects.realm,
        payment_ref=PaymentRef(payment.ref),
        user_id=about.user_id,
        stripe_customer_id=about.customer_id,
        amount_minor=came_in.amount if came_in else 0,
        amount_refunded_minor=refunded(payment, came_in),
        currency=came_in.currency if came_in else _currency(payment),
        status=status_of(payment, came_in),
        dispute_status=dispute.state.fields.status if dispute else None,
        invoice_id=bill.invoice_id if bill else None,
        plan_code=about.plan_code,
        inferred=bill.inferred if bill else False,
        provisional=False,
        occurred_at=came_in.at if came_in else first_seen(payment),
    )


def _currency(payment: Payment) -> str:
    """The currency of a payment of which nothing came in yet."""
    stated = [attempt.currency for attempt in payment.attempts]
    stated += [refund.currency for refund in payment.refunds]
    stated += [dispute.currency for dispute in payment.disputes]
    return stated[0]


def _rest(reader: Reader, bill: Bill, rest: Received) -> PaymentRow:
    """The row of a bill, or of a checkout without bill, until payments cover it."""
    about = _about(reader, Payment(ref=bill.ref), (bill,))
    return PaymentRow(
        realm=reader.objects.realm,
        payment_ref=PaymentRef(bill.ref),
        user_id=about.user_id,
        stripe_customer_id=about.customer_id,
        amount_minor=rest.amount,
        amount_refunded_minor=0,
        currency=rest.currency,
        status=PaymentStatus.SUCCEEDED,
        dispute_status=None,
        invoice_id=bill.invoice_id,
        plan_code=about.plan_code,
        inferred=False,
        provisional=True,
        occurred_at=rest.at,
    )


def _about(reader: Reader, payment: Payment, bills: Sequence[Bill]) -> About:
    customer_id = first((payment.customer_id, *[bill.customer_id for bill in bills]))
    subscription = first([bill.subscription for bill in bills])
    bought = first([reader.bought.get(ref) for ref in (payment.ref, *[b.ref for b in bills])])
    statements = (
        newest(session.said for session in _sessions(payment, bills)),
        reader.users.stated_for(subscription) if subscription else None,
    )
    return About(
        customer_id=customer_id,
        user_id=reader.users.settle(statements, customer_id, _copies(payment, bills)),
        plan_code=bought or (_plan_billed(reader, bills, subscription) if subscription else None),
    )


def _sessions(payment: Payment, bills: Sequence[Bill]) -> list[Session]:
    return payment.sessions + [bill.session for bill in bills if bill.session]


def _copies(payment: Payment, bills: Sequence[Bill]) -> Iterator[Said]:
    """What copies of metadata say, which is asked only where nothing else says anything."""
    yield from (attempt.said for attempt in payment.attempts)
    yield from (bill.invoice.said for bill in bills if bill.invoice)


def _plan_billed(reader: Reader, bills: Sequence[Bill], subscription: str) -> PlanCode | None:
    """The plan on the bill; of several (an upgrade), the one that the subscription is on now."""
    listed = [
        plan.code
        for bill in bills
        for offer in (bill.invoice.offers if bill.invoice else ())
        for plan in reader.shelf.plans_offered(offer)
    ]
    if len(listed) == 1:
        return listed[0]
    itself = reader.objects.subscriptions.get(subscription)
    items = itself.state.fields.items if itself else ()
    held = [each.plan.code for each in reader.shelf.plans_held(items)]
    sessions = [bill.session for bill in bills if bill.session]
    begun = [p.code for s in sessions for p in reader.shelf.plans_offered(s.offer)]
    both = [code for code in held if code in listed]
    return next(iter((*both, *listed, *held, *begun)), None)
