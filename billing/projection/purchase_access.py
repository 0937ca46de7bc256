"""The rows of purchases and what they grant.

Each line is a row. The lines of one plan and purchase make one grant: the quantities of those in
force are added, and the grant ends with the last of them.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from billing.catalogue import Plan
from billing.ids import PaymentRef, PlanCode
from billing.objects.observations import EventMoment, newest_of
from billing.projection.clocks import Clocks
from billing.projection.grants import GrantCollector, PlanGrant
from billing.projection.invoices import MatchedPayments
from billing.projection.ownership import Ownership, SourceOwner
from billing.projection.plan_lookup import no_longer_sold
from billing.projection.purchase_ends import (
    Ends,
    Passes,
    PurchaseEnd,
    ReturnContext,
    ends_of,
    own_ends,
)
from billing.projection.purchase_lines import BoughtLine
from billing.projection.purchases import OneTimePurchase
from billing.rows import PurchaseRow


class PurchaseContext(NamedTuple):
    """The inputs that decide the user of a purchase and its grants."""

    returns: ReturnContext
    ownership: Ownership
    clocks: Clocks


class _Owned(NamedTuple):
    """A purchase with its user, every user it ever had, and what money ended of it."""

    purchase: OneTimePurchase
    owner: SourceOwner
    ends: Ends


def project_purchases(
    purchases: Iterable[OneTimePurchase], context: PurchaseContext, grants: GrantCollector
) -> list[PurchaseRow]:
    """Return the rows of all purchases, paid or not, and collect the grants of the paid ones."""
    owned = [
        _Owned(each, context.ownership.of_paid(each.ref), ends_of(each, context.returns))
        for each in purchases
    ]
    passes = own_ends((each.purchase, each.owner.user_id, each.ends) for each in owned)
    rows: list[PurchaseRow] = []
    for each in owned:
        given = _plan_grants(each, passes, context)
        grants.add(each.owner, each.purchase.ref, given)
        rows.extend(_rows(each, passes, context.returns.matched, grants))
    return rows


def _rows(
    owned: _Owned, passes: Passes, matched: MatchedPayments, grants: GrantCollector
) -> Iterator[PurchaseRow]:
    purchase = owned.purchase
    for line in purchase.lines:
        yield PurchaseRow(
            realm=grants.realm,
            purchase_ref=purchase.ref,
            line=line.line,
            user_id=owned.owner.user_id,
            plan_code=line.sold.plan.code if line.sold.plan else None,
            price=line.reference.price,
            quantity=line.quantity,
            status=purchase.status,
            ends_at=passes.get((purchase.ref, line.line)),
            payment_ref=_payment_ref(purchase, matched),
        )


def _payment_ref(purchase: OneTimePurchase, matched: MatchedPayments) -> PaymentRef | None:
    """Return the payment row that holds a purchase's money; None for what was free."""
    standing = (ref for ref in purchase.paid_by if matched.has_row(ref))
    return next((PaymentRef(ref) for ref in standing), None)


def _plan_grants(owned: _Owned, passes: Passes, context: PurchaseContext) -> Iterator[PlanGrant]:
    purchase = owned.purchase
    if purchase.granted is None:
        return
    won = _won_disputes(purchase, context.returns.matched)
    decided_by = newest_of([purchase.granted.newest, *won])
    for plan, because in _plans_with_reasons(purchase).values():
        lines = [line for line in purchase.lines if line.sold.plan == plan]
        held = _Held(purchase, plan, lines, decided_by, because)
        yield _plan_grant(held, owned.ends, passes, context.clocks.now_of(purchase.customer_id))


def _won_disputes(purchase: OneTimePurchase, matched: MatchedPayments) -> list[EventMoment]:
    payments = [matched.payments[ref] for ref in purchase.paid_by if ref in matched.payments]
    disputes = [each for payment in payments for each in payment.disputes if each.won]
    return [each.decided_by for each in disputes]


class _Held(NamedTuple):
    """The lines of one plan of a purchase; none if it turned out to be of another plan."""

    purchase: OneTimePurchase
    plan: Plan
    lines: list[BoughtLine]
    decided_by: EventMoment
    because: str


def _plan_grant(held: _Held, ends: Ends, passes: Passes, now: datetime) -> PlanGrant:
    """Return the grant of one plan: by the lines in force, else as it was when the last ended."""
    ref = held.purchase.ref
    standing = [line for line in held.lines if ends.of(line) is None]
    until = {line.line: passes[ref, line.line] for line in held.lines}
    in_force = [line for line in standing if _is_ahead(until[line.line], now)]
    own_end = _latest(until[line.line] for line in in_force or standing) if standing else None
    over = None if standing else _newest([*map(ends.of, held.lines), ends.whole])
    quantity = sum(line.quantity for line in in_force or standing or held.lines)
    return PlanGrant(
        plan_code=held.plan.code,
        features=held.plan.features_for(quantity if held.lines else 1),
        active=bool(in_force),
        starts_at=held.purchase.paid_at or held.decided_by.at,
        expires_at=over.moment.at if over else own_end,
        event_id=over.moment.event_id if over else held.decided_by.event_id,
        because=over.because if over and held.lines else _because(held, own_end, now),
        per_seat=held.plan.summed_features,
        changes_at=min((end for line in in_force if (end := until[line.line])), default=None),
    )


def _newest(ends: Iterable[PurchaseEnd | None]) -> PurchaseEnd | None:
    known = [end for end in ends if end]
    if not known:
        return None
    newest = newest_of(end.moment for end in known)
    return next(end for end in known if end.moment == newest)


def _because(held: _Held, own_end: datetime | None, now: datetime) -> str:
    if own_end is None:
        return held.because
    what = f"Purchase {held.purchase.ref}"
    ending = "is paid and ends" if now < own_end else "ended"
    return f"{what} {ending} on {own_end:%Y-%m-%d}."


def _is_ahead(ends_at: datetime | None, now: datetime) -> bool:
    return ends_at is None or now < ends_at


def _latest(ends: Iterable[datetime | None]) -> datetime | None:
    """Return the last end; None if any has none."""
    known = list(ends)
    return None if None in known else max(end for end in known if end)


def _plans_with_reasons(purchase: OneTimePurchase) -> dict[PlanCode, tuple[Plan, str]]:
    """Return every plan the purchase was ever for, with a reason that holds without a refund."""
    what = f"Purchase {purchase.ref}"
    other, paid = f"{what} turned out to be of another plan.", f"{what} is paid."
    return {
        **{plan.code: (plan, no_longer_sold(what, plan)) for plan in purchase.former_plans},
        **{plan.code: (plan, other) for plan in purchase.all_time_plans},
        **{plan.code: (plan, paid) for plan in purchase.plans},
    }
