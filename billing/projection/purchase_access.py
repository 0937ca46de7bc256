"""The grants of a purchase, and the effect of money that goes back.

Policy decides: by default a full refund and a lost dispute end a purchase, a partial refund and an
open dispute do not. A won dispute restores it. Warnings and prevented disputes change nothing, and
a failed refund counts as none.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from billing.catalogue import Plan, Policy, PolicyAction
from billing.ids import PaymentRef, PlanCode
from billing.objects.observations import EventMoment, newest_of
from billing.projection.grants import GrantCollector, PlanGrant
from billing.projection.invoices import MatchedPayments
from billing.projection.ownership import Ownership
from billing.projection.payments import PaymentObjects
from billing.projection.plan_lookup import no_longer_sold
from billing.projection.purchases import OneTimePurchase
from billing.rows import PurchaseRow


class PurchaseEnd(NamedTuple):
    """The moment at which a purchase ended, and the reason."""

    moment: EventMoment
    because: str


_ENDS = ", which ends it by policy."


def project_purchases(
    purchases: Iterable[OneTimePurchase],
    matched: MatchedPayments,
    ownership: Ownership,
    policy: Policy,
    grants: GrantCollector,
) -> list[PurchaseRow]:
    """Return the rows of all purchases, paid or not, and collect the grants of the paid ones."""
    rows = []
    for purchase in purchases:
        owner = ownership.of_paid(purchase.ref)
        grants.add(owner, purchase.ref, _plan_grants(purchase, matched, policy))
        rows.append(
            PurchaseRow(
                realm=grants.realm,
                purchase_ref=purchase.ref,
                user_id=owner.user_id,
                plan_code=purchase.plans[0].code if purchase.plans else None,
                price=purchase.plan_reference.price,
                status=purchase.status,
                payment_ref=_payment_ref(purchase, matched),
            )
        )
    return rows


def _payment_ref(purchase: OneTimePurchase, matched: MatchedPayments) -> PaymentRef | None:
    """Return the payment row that holds a purchase's money; None for what was free."""
    standing = (ref for ref in purchase.paid_by if matched.has_row(ref))
    return next((PaymentRef(ref) for ref in standing), None)


def _plan_grants(
    purchase: OneTimePurchase, matched: MatchedPayments, policy: Policy
) -> Iterator[PlanGrant]:
    granted = purchase.granted
    if granted is None:
        return
    payments = [matched.payments[ref] for ref in purchase.paid_by if ref in matched.payments]
    over = _purchase_end(purchase, payments, matched, policy)
    won = [
        EventMoment(d.newest.at, d.newest.event_id) for p in payments for d in p.disputes if d.won
    ]
    bought = {plan.code for plan in purchase.plans}
    for plan, because in _plans_with_reasons(purchase).values():
        yield PlanGrant(
            plan_code=plan.code,
            features=plan.features_for(1),
            active=plan.code in bought and over is None,
            starts_at=granted.since,
            expires_at=over.moment.at if over else None,
            event_id=over.moment.event_id if over else newest_of([granted.newest, *won]).event_id,
            because=over.because if over and plan.code in bought else because,
            per_seat=plan.summed_features,
        )


def _plans_with_reasons(purchase: OneTimePurchase) -> dict[PlanCode, tuple[Plan, str]]:
    """Return every plan the purchase was ever for, with a reason that holds without a refund."""
    what = f"Purchase {purchase.ref}"
    other, paid = f"{what} turned out to be of another plan.", f"{what} is paid."
    return {
        **{plan.code: (plan, no_longer_sold(what, plan)) for plan in purchase.former_plans},
        **{plan.code: (plan, other) for plan in purchase.all_time_plans},
        **{plan.code: (plan, paid) for plan in purchase.plans},
    }


def _purchase_end(
    purchase: OneTimePurchase,
    payments: list[PaymentObjects],
    matched: MatchedPayments,
    policy: Policy,
) -> PurchaseEnd | None:
    """Return the newest event that ends the purchase by policy; None if there is none."""
    causes = [*_disputed(purchase, payments, policy)]
    causes += _refunded(purchase, matched, policy)
    if not causes:
        return None
    newest = newest_of(cause.moment for cause in causes)
    return next(cause for cause in causes if cause.moment == newest)


def _disputed(
    purchase: OneTimePurchase, payments: list[PaymentObjects], policy: Policy
) -> Iterator[PurchaseEnd]:
    """Yield the disputes that end the purchase: lost ones, and open ones if policy says so."""
    for dispute in (each for payment in payments for each in payment.disputes):
        lost = dispute.lost and policy.dispute_lost is PolicyAction.END
        if lost or (dispute.open and policy.dispute_open is PolicyAction.END):
            word = "was lost" if lost else "is open"
            because = f"Dispute {dispute.id} of purchase {purchase.ref} {word}{_ENDS}"
            yield PurchaseEnd(EventMoment(dispute.newest.at, dispute.newest.event_id), because)


def _refunded(
    purchase: OneTimePurchase,
    matched: MatchedPayments,
    policy: Policy,
) -> Iterator[PurchaseEnd]:
    """Yield the refund, full or partial, that ends the purchase by policy."""
    back = sum(matched.refunded(ref) for ref in purchase.paid_by)
    received = sum(matched.amount_of(ref) for ref in purchase.paid_by)
    full = back >= received
    disposition = policy.refund_full if full else policy.refund_partial
    if back > 0 and received > 0 and disposition is PolicyAction.END:
        how = "in full" if full else "in part"
        moment = newest_of(
            moment
            for ref in purchase.paid_by
            if ref in matched.back
            for moment in matched.back[ref].by
        )
        yield PurchaseEnd(moment, f"Purchase {purchase.ref} was refunded {how}{_ENDS}")
