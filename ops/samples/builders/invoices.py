"""Invoices, their lines, and the payments that cover them."""

from collections.abc import Sequence

from ops.samples.api_shapes import Shape
from ops.samples.builders.prices import sold
from ops.samples.emails import email_of
from ops.samples.sample_plans import SamplePrice
from ops.samples.scenario import MONTH, ObjectBuilder
from ops.samples.unread_fields import JsonObject
from ops.samples.worlds.records import Invoice, InvoiceLine, InvoicePayment
from ops.samples.worlds.rendering import render


def invoice(
    builder: ObjectBuilder,
    *,
    subscription: JsonObject,
    lines: Sequence[InvoiceLine],
    at: int,
    reason: str,
) -> JsonObject:
    """Build a draft invoice of a subscription."""
    draft = Invoice(
        id=builder.id("in"),
        customer=subscription["customer"],
        created=at,
        status="draft",
        lines=tuple(lines),
        reason=reason,
        subscription=subscription["id"],
        copied=subscription["metadata"],
        email=email_of(subscription["metadata"]["user_id"]),
    )
    return {**render(draft, builder.shape), "next_payment_attempt": at + 3600}


def stage(builder: ObjectBuilder, status: str) -> JsonObject:
    """Return the fields that state an invoice's status: flags first, later a status."""
    paid = {} if builder.new else {"paid": status == "paid"}
    if builder.shape is Shape.ANCIENT:
        return {**paid, "closed": status == "paid", "forgiven": False}
    return {**paid, "status": status}


def invoice_line(
    builder: ObjectBuilder,
    offer: SamplePrice,
    *,
    subscription: JsonObject,
    at: int,
    amount: int | None = None,
    proration: bool = False,
    quantity: int = 1,
) -> InvoiceLine:
    """Return one line for a month; ``amount`` is the price unless it is given, for prorations."""
    return InvoiceLine(
        id=builder.id("il"),
        offer=sold(offer),
        amount=offer.amount * quantity if amount is None else amount,
        quantity=quantity,
        start=at,
        end=at + MONTH,
        invoice_item=builder.id("ii") if proration else None,
        subscription=subscription["id"],
        item=_item_of(subscription),
        proration=proration,
    )


def _item_of(subscription: JsonObject) -> str:
    items = subscription.get("items", {}).get("data", [])
    return str(items[0]["id"]) if items else "si_before_there_were_items"


def invoice_payment(
    builder: ObjectBuilder, *, invoice_id: str, intent_id: str, amount: int, at: int
) -> JsonObject:
    """Build the link between an invoice and its payment: since basil the only reliable one."""
    link = InvoicePayment(
        id=builder.id("inpay"), invoice=invoice_id, intent=intent_id, amount=amount, created=at
    )
    return render(link, builder.shape)
