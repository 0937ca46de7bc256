"""Steps of invoices: to bill, to collect, to be refused."""

from collections.abc import Iterable
from dataclasses import replace

from ops.samples.scenario import DAY
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.offers import StripePrice
from ops.samples.worlds.records import (
    Charge,
    Customer,
    Intent,
    Invoice,
    InvoiceLine,
    InvoicePayment,
    Metadata,
    Subscription,
    SubscriptionItem,
)

LENGTHS = {"day": DAY, "month": 30 * DAY, "year": 365 * DAY}


def item_line(
    account: StripeAccount, holder: Subscription, item: SubscriptionItem, *, amount: int | None
) -> InvoiceLine:
    """Return the line that bills one period of a subscription's item."""
    quantity = 1 if item.quantity is None else item.quantity
    return InvoiceLine(
        id=account.id("il"),
        offer=item.offer,
        amount=item.offer.amount * quantity if amount is None else amount,
        quantity=quantity,
        start=item.start,
        end=item.end,
        subscription=holder.id,
        item=item.id,
    )


def proration_line(
    account: StripeAccount, holder: Subscription, item: SubscriptionItem, amount: int
) -> InvoiceLine:
    """Return a line over unused or remaining time of an item."""
    line = item_line(account, holder, item, amount=amount)
    return replace(line, invoice_item=account.id("ii"), proration=True)


def once_line(
    account: StripeAccount,
    offer: StripePrice,
    *,
    quantity: int = 1,
    subscription: str | None = None,
    lasts: int = 0,
    discount: int = 0,
) -> InvoiceLine:
    """Return the line of something that is paid once; ``lasts`` is its own period in seconds."""
    return InvoiceLine(
        id=account.id("il"),
        offer=offer,
        amount=offer.amount * quantity,
        quantity=quantity,
        start=account.at,
        end=account.at + lasts,
        invoice_item=account.id("ii"),
        subscription=subscription,
        discount=discount,
    )


def bill(
    account: StripeAccount,
    customer: Customer,
    lines: Iterable[InvoiceLine],
    *,
    subscription: Subscription | None = None,
    reason: str = "manual",
    metadata: Metadata | None = None,
    balance: int = 0,
) -> Invoice:
    """Draft an invoice."""
    invoice = Invoice(
        id=account.id("in"),
        customer=customer.id,
        created=account.at,
        status="draft",
        lines=tuple(lines),
        reason=reason,
        subscription=subscription.id if subscription else None,
        metadata=metadata or {},
        copied=subscription.metadata if subscription else {},
        balance=balance,
        email=customer.email,
        test_clock=customer.test_clock,
    )
    return account.emit("invoice.created", invoice)


def finalize(
    account: StripeAccount, invoice: Invoice, *, metadata: Metadata | None = None
) -> Invoice:
    """Open an invoice, with the payment intent that is to pay it."""
    invoice = account.get(Invoice, invoice.id)
    intent = None
    if invoice.due and not account.ancient:
        intent = Intent(
            id=account.id("pi"),
            customer=invoice.customer,
            created=account.at,
            status="requires_payment_method",
            amount=invoice.due,
            invoice=invoice.id,
            metadata=metadata or {},
        )
        account.emit("payment_intent.created", intent)
    return account.emit(
        "invoice.finalized",
        replace(
            invoice, status="open", finalized_at=account.at, intent=intent.id if intent else None
        ),
    )


def collect(account: StripeAccount, invoice: Invoice, *, takes: int = 2) -> Charge | None:
    """Pay an open invoice by card; an invoice over nothing is paid without a charge."""
    account.wait(takes)
    invoice = account.get(Invoice, invoice.id)
    if not invoice.due:
        settle(account, invoice, paid=0)
        return None
    charge = _charge(account, invoice, "succeeded")
    account.emit("charge.succeeded", charge)
    account.banked[charge.intent or charge.id] = [charge.amount, 0]
    if charge.intent:
        account.change(
            "payment_intent.succeeded",
            account.get(Intent, charge.intent),
            status="succeeded",
            received=charge.amount,
            latest_charge=charge.id,
            failed_charge=None,
        )
    settle(account, invoice, paid=charge.amount, charge=charge)
    if charge.intent:
        link = InvoicePayment(
            id=account.id("inpay"),
            invoice=invoice.id,
            intent=charge.intent,
            amount=charge.amount,
            created=account.at,
        )
        account.emit("invoice_payment.paid", link)
    return charge


def settle(
    account: StripeAccount,
    invoice: Invoice,
    *,
    paid: int,
    charge: Charge | None = None,
    out_of_band: bool = False,
) -> Invoice:
    """Mark an invoice as paid, with the events that Stripe has for it."""
    if out_of_band:
        account.banked[invoice.id] = [paid, 0]
    settled = account.change(
        "invoice.updated",
        invoice,
        status="paid",
        amount_paid=paid,
        paid_at=account.at,
        charge=charge.id if charge else None,
        out_of_band=out_of_band,
        attempts=account.get(Invoice, invoice.id).attempts + 1,
    )
    account.emit("invoice.paid", settled)
    return account.emit("invoice.payment_succeeded", settled)


def refuse(account: StripeAccount, invoice: Invoice, *, takes: int = 2) -> Charge:
    """Decline the card; the invoice stays open."""
    account.wait(takes)
    invoice = account.get(Invoice, invoice.id)
    charge = account.emit("charge.failed", _charge(account, invoice, "failed"))
    if charge.intent:
        account.change(
            "payment_intent.payment_failed",
            account.get(Intent, charge.intent),
            latest_charge=charge.id,
            failed_charge=charge.id,
        )
    account.emit("invoice.payment_failed", replace(invoice, attempts=invoice.attempts + 1))
    return charge


def _charge(account: StripeAccount, invoice: Invoice, status: str) -> Charge:
    done = status == "succeeded"
    return Charge(
        id=account.id("ch"),
        customer=invoice.customer,
        created=account.at,
        status=status,
        amount=invoice.due,
        captured=done,
        amount_captured=invoice.due if done else 0,
        intent=invoice.intent,
        invoice=invoice.id,
    )
