"""Steps of subscriptions, from the first period to the last."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ops.samples.scenario import DAY
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import (
    Charge,
    Customer,
    Invoice,
    InvoiceLine,
    Metadata,
    Session,
    Subscription,
    SubscriptionItem,
)
from ops.samples.worlds.steps.billing import (
    LENGTHS,
    bill,
    collect,
    finalize,
    item_line,
    once_line,
    proration_line,
    refuse,
)

UPDATED = "customer.subscription.updated"
SENT_DUE_AFTER: Final = 7 * DAY
"""The time from sending an invoice to its due date."""

Goods = Sequence[tuple[StripePrice, int | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names that a checkout session bears: of the buyer, and of what was bought."""

    reference: str | None = None
    metadata: Metadata | None = None
    payment_link: str | None = None


def subscribe(
    account: StripeAccount,
    customer: Customer,
    goods: Goods,
    *,
    metadata: Metadata | None = None,
    checkout: Names | None = None,
    once: Sequence[StripePrice] = (),
    trial: int = 0,
    pays: bool = True,
    within: int = 2,
    goods_on_intent: str | None = None,
) -> Subscription:
    """Start a subscription with its first invoice; ``checkout`` makes it by a session.

    ``goods_on_intent`` has the application write user and this price on the invoice's intent.
    """
    at = account.wait(30)
    held = _begun(account, customer, goods, metadata or {}, trial)
    lines = [item_line(account, held, item, amount=0 if trial else None) for item in held.items]
    lines += [once_line(account, offer, subscription=held.id) for offer in once]
    invoice = bill(account, customer, lines, subscription=held, reason="subscription_create")
    held = account.emit("customer.subscription.created", replace(held, latest_invoice=invoice.id))
    named = {**(metadata or {}), "price_id": goods_on_intent} if goods_on_intent else {}
    invoice = finalize(account, invoice, metadata=named)
    if not pays:
        refuse(account, invoice)
        return held
    collect(account, invoice, takes=within)
    if held.status == "incomplete":
        held = account.change(UPDATED, held, status="active")
    if checkout and not account.ancient:
        account.wait(1 if within else 0)
        _complete(account, held, invoice, checkout, at=at)
    return held


def _begun(
    account: StripeAccount, customer: Customer, goods: Goods, metadata: Metadata, trial: int
) -> Subscription:
    at = account.at
    starts = "active" if account.ancient else "incomplete"
    items = tuple(
        SubscriptionItem(
            id=account.id("si", 14),
            offer=offer,
            quantity=quantity,
            start=at,
            end=at + (trial or LENGTHS[offer.interval or "month"]),
        )
        for offer, quantity in goods
    )
    return Subscription(
        id=account.id("sub"),
        customer=customer.id,
        created=at,
        status="trialing" if trial else starts,
        items=items,
        metadata=metadata,
        trial_end=at + trial if trial else None,
        test_clock=customer.test_clock,
    )


def _complete(
    account: StripeAccount, held: Subscription, invoice: Invoice, names: Names, *, at: int
) -> Session:
    session = Session(
        id=account.id("cs_test", 58),
        created=at - 30,
        mode="subscription",
        status="complete",
        payment_status="paid" if invoice.due else "no_payment_required",
        amount=invoice.due,
        customer=held.customer,
        reference=names.reference,
        metadata=names.metadata or {},
        subscription=held.id,
        invoice=invoice.id,
        payment_link=names.payment_link,
    )
    return account.emit("checkout.session.completed", session)


def newest(account: StripeAccount, held: Subscription) -> Subscription:
    """Return the subscription as it is."""
    return account.get(Subscription, held.id)


def update(account: StripeAccount, held: Subscription, **changes: object) -> Subscription:
    """Change a subscription, with an event about it."""
    account.wait(3)
    return account.change(UPDATED, held, **changes)


def renew(account: StripeAccount, held: Subscription, *, outcome: str = "paid") -> Subscription:
    """Start the next period: ``paid`` an hour later, ``failed``, or ``open`` without an attempt.

    An ``overdue`` invoice is sent, and stays unpaid past its due date.
    """
    held = newest(account, held)
    end = min(item.end for item in held.items)
    account.at = max(account.at + 3, end)
    items = tuple(
        replace(item, start=item.end, end=item.end + LENGTHS[item.offer.interval or "month"])
        if item.end == end
        else item
        for item in held.items
    )
    lines = [item_line(account, held, item, amount=None) for item in items if item.start == end]
    customer = account.get(Customer, held.customer)
    invoice = bill(account, customer, lines, subscription=held, reason="subscription_cycle")
    held = account.change(UPDATED, held, items=items, latest_invoice=invoice.id, status="active")
    account.wait(3600)
    if outcome == "overdue" and invoice.due:
        return _miss_due_date(account, held, invoice)
    invoice = finalize(account, invoice)
    if outcome == "paid":
        collect(account, invoice)
    elif outcome == "failed":
        refuse(account, invoice)
        if invoice.due:
            held = account.change(UPDATED, held, status="past_due")
    return newest(account, held)


def _miss_due_date(account: StripeAccount, held: Subscription, invoice: Invoice) -> Subscription:
    due_at = account.at + SENT_DUE_AFTER
    finalize(account, account.keep(replace(invoice, due_at=due_at)))
    account.at = due_at
    return account.change(UPDATED, held, status="past_due")


def recover(account: StripeAccount, held: Subscription) -> Charge | None:
    """Pay the open invoice of a subscription, which is active again."""
    held = newest(account, held)
    charge = collect(account, account.get(Invoice, held.latest_invoice), takes=5)
    account.change(UPDATED, held, status="active")
    return charge


def change_items(
    account: StripeAccount,
    held: Subscription,
    items: Sequence[SubscriptionItem],
    *,
    billed: bool = False,
) -> Subscription:
    """Put a subscription on other items; ``billed`` bills the difference at once."""
    held = newest(account, held)
    account.wait(3)
    former = held.items
    held = account.change(UPDATED, held, items=tuple(items))
    if billed:
        lines = [
            proration_line(account, held, former[0], -former[0].offer.amount // 2),
            proration_line(account, held, items[0], items[0].offer.amount),
        ]
        held = bill_difference(account, held, lines)
    return held


def bill_difference(
    account: StripeAccount, held: Subscription, lines: Sequence[InvoiceLine]
) -> Subscription:
    """Bill the difference that a change of items makes, and have it paid at once."""
    customer = account.get(Customer, held.customer)
    invoice = bill(account, customer, lines, subscription=held, reason="subscription_update")
    collect(account, finalize(account, invoice))
    return account.change(UPDATED, held, latest_invoice=invoice.id)


def new_item(
    account: StripeAccount, held: Subscription, offer: StripePrice, quantity: int | None = 1
) -> SubscriptionItem:
    """Return an item for a subscription, over the running period."""
    first = newest(account, held).items[0]
    return SubscriptionItem(
        id=account.id("si", 14),
        offer=offer,
        quantity=quantity,
        start=first.start,
        end=first.end,
    )


def cancel(account: StripeAccount, held: Subscription, *, wait: int = 60) -> Subscription:
    """End a subscription now."""
    held = newest(account, held)
    account.wait(wait)
    canceled_at = held.canceled_at or account.at
    ended = replace(held, status="canceled", canceled_at=canceled_at, ended_at=account.at)
    return account.emit("customer.subscription.deleted", ended)


def cancel_at_period_end(
    account: StripeAccount, held: Subscription, *, names_day: bool = True
) -> Subscription:
    """Have a subscription end with its period; ``names_day`` states ``cancel_at``, too."""
    held = newest(account, held)
    last = max(item.end for item in held.items)
    return update(
        account,
        held,
        cancel_at_period_end=True,
        cancel_at=last if names_day else None,
        canceled_at=account.at,
    )


def pause_collection(
    account: StripeAccount, held: Subscription, *, days: int | None = None
) -> Subscription:
    """Pause collection, for some days or until it is resumed."""
    until = None if days is None else account.at + days * DAY
    return update(account, held, paused=True, resumes_at=until)


def credit_unused_time(account: StripeAccount, held: Subscription) -> InvoiceLine:
    """Return the credit that a cancelled subscription leaves as a pending invoice item."""
    item = newest(account, held).items[0]
    return proration_line(account, held, item, -item.offer.amount * 2 // 3)
