"""What a purchase gives, and what money going back does to it.

Policy decides: by default a full refund and a lost dispute end a purchase, a partial refund and an
open dispute do not. A won dispute restores, warnings and prevented disputes change nothing, and a
refund that failed was none.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from billing.catalogue import Disposition, Plan, Policy
from billing.ids import PaymentRef, PlanCode
from billing.objects.observations import Moment, newest_of, users_ever
from billing.projection.grants import Granted, Verdict
from billing.projection.invoices import Books
from billing.projection.ownership import Users
from billing.projection.payments import Payment, refunded
from billing.projection.plan_lookup import sold_before
from billing.projection.purchases import Purchase
from billing.rows import PurchaseRow


class Cause(NamedTuple):
    """Why a purchase is over."""

    moment: Moment
    because: str


_ENDS = ", which ends it by policy."


def project_purchases(
    purchases: Iterable[Purchase], books: Books, users: Users, policy: Policy, granted: Granted
) -> list[PurchaseRow]:
    """The rows of purchases, paid or not, and what the paid ones give to whom."""
    rows = []
    for purchase in purchases:
        customer_id = purchase.customer_id
        user_id = users.settle((purchase.said.newest,), customer_id, purchase.copies)
        ever = users_ever(purchase.said, *purchase.copies) | users.ever_of_customer(customer_id)
        granted.to(user_id, ever, purchase.ref, _verdicts(purchase, books, policy))
        rows.append(
            PurchaseRow(
                realm=granted.realm,
                purchase_ref=purchase.ref,
                user_id=user_id,
                plan_code=purchase.plans[0].code if purchase.plans else None,
                price=purchase.offer.price,
                status=purchase.status,
                payment_ref=_payment_ref(purchase, books),
            )
        )
    return rows


def _payment_ref(purchase: Purchase, books: Books) -> PaymentRef | None:
    """The row in which the money of a purchase stands; none for what was free."""
    standing = (ref for ref in purchase.paid_by if books.stands(ref))
    return next((PaymentRef(ref) for ref in standing), None)


def _verdicts(purchase: Purchase, books: Books, policy: Policy) -> Iterator[Verdict]:
    granted = purchase.granted
    if granted is None:
        return
    payments = [books.payments[ref] for ref in purchase.paid_by if ref in books.payments]
    over = _over(purchase, payments, books, policy)
    won = [Moment(d.state.at, d.state.event_id) for p in payments for d in p.disputes if d.won]
    bought = {plan.code for plan in purchase.plans}
    for plan, because in _plans_with_reasons(purchase).values():
        yield Verdict(
            plan_code=plan.code,
            features=plan.features_for(1),
            active=plan.code in bought and over is None,
            starts_at=granted.since,
            expires_at=over.moment.at if over else None,
            event_id=over.moment.event_id if over else newest_of([granted.newest, *won]).event_id,
            because=over.because if over and plan.code in bought else because,
            per_seat=plan.adding_up,
        )


def _plans_with_reasons(purchase: Purchase) -> dict[PlanCode, tuple[Plan, str]]:
    """Every plan it ever stood for, and what there is to say of it while nothing went back."""
    what = f"Purchase {purchase.ref}"
    other, paid = f"{what} turned out to be of another plan.", f"{what} is paid."
    return {
        **{plan.code: (plan, sold_before(what, plan)) for plan in purchase.plans_before},
        **{plan.code: (plan, other) for plan in purchase.plans_ever},
        **{plan.code: (plan, paid) for plan in purchase.plans},
    }


def _over(
    purchase: Purchase, payments: list[Payment], books: Books, policy: Policy
) -> Cause | None:
    """The newest thing that policy lets end the purchase, if any has happened and still holds."""
    causes = [*_disputed(purchase, payments, policy)]
    causes += _refunded(purchase, payments, books, policy)
    if not causes:
        return None
    newest_moment = newest_of(cause.moment for cause in causes)
    return next(cause for cause in causes if cause.moment == newest_moment)


def _disputed(purchase: Purchase, payments: list[Payment], policy: Policy) -> Iterator[Cause]:
    """Disputes that are lost, or open where policy ends a purchase already then."""
    for dispute in (each for payment in payments for each in payment.disputes):
        lost = dispute.lost and policy.dispute_lost is Disposition.END
        if lost or (dispute.open and policy.dispute_open is Disposition.END):
            word = "was lost" if lost else "is open"
            because = f"Dispute {dispute.id} of purchase {purchase.ref} {word}{_ENDS}"
            yield Cause(Moment(dispute.state.at, dispute.state.event_id), because)


def _refunded(
    purchase: Purchase, payments: list[Payment], books: Books, policy: Policy
) -> Iterator[Cause]:
    """A refund, full or partial, where policy lets it end a purchase."""
    back = sum(refunded(payment, books.came_in.get(payment.ref)) for payment in payments)
    came_in = sum(books.amount_of(ref) for ref in purchase.paid_by)
    full = back >= came_in
    disposition = policy.refund_full if full else policy.refund_partial
    if back > 0 and came_in > 0 and disposition is Disposition.END:
        how = "in full" if full else "in part"
        moment = newest_of(moment for payment in payments for moment in _refunds(payment))
        yield Cause(moment, f"Purchase {purchase.ref} was refunded {how}{_ENDS}")


def _refunds(payment: Payment) -> Iterator[Moment]:
    for charge in payment.charges:
        if charge.refunded:
            yield charge.refunded_by
    for refund in payment.refunds:
        if refund.succeeded:
            yield Moment(refund.state.at, refund.state.event_id)
