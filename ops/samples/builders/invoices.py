"""Invoices, their lines, and the payments that cover them."""

from collections.abc import Sequence

from ops.samples.api_shapes import Shape
from ops.samples.builders.customers import email_of
from ops.samples.builders.prices import plan, price
from ops.samples.sample_plans import SamplePrice
from ops.samples.scenario import MONTH, ObjectBuilder
from ops.samples.unread_fields import JsonObject, listed


def invoice(
    builder: ObjectBuilder,
    *,
    subscription: JsonObject,
    lines: Sequence[JsonObject],
    at: int,
    reason: str,
) -> JsonObject:
    """Build a draft invoice of a subscription."""
    identifier = builder.id("in")
    amount = sum(line["amount"] for line in lines)
    names_bill = [{**line, "invoice": identifier} if builder.new else line for line in lines]
    return builder.build(
        "invoice",
        id=identifier,
        billing_reason=reason,
        created=at,
        customer=subscription["customer"],
        customer_email=email_of(subscription["metadata"]["user_id"]),
        lines=listed(names_bill, f"/v1/invoices/{identifier}/lines"),
        next_payment_attempt=at + 3600,
        period_end=at,
        period_start=at,
        **stage(builder, "draft"),
        **_totals(amount),
        **_belonging(builder, subscription),
    )


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
) -> JsonObject:
    """Build one line for a month; ``amount`` is the price unless it is given, as for prorations."""
    total = offer.amount * quantity if amount is None else amount
    where = _new_line_paths if builder.new else _old_line_paths
    return builder.build(
        "line_item",
        id=builder.id("il"),
        amount=total,
        description=f"{quantity} x {offer.nickname}",
        period={"start": at, "end": at + MONTH},
        quantity=quantity,
        **where(builder, offer, subscription, proration=proration),
    )


def invoice_payment(
    builder: ObjectBuilder, *, invoice_id: str, intent_id: str, amount: int, at: int
) -> JsonObject:
    """Build the link between an invoice and its payment: since basil the only reliable one."""
    return builder.build(
        "invoice_payment",
        id=builder.id("inpay"),
        amount_paid=amount,
        amount_requested=amount,
        created=at,
        invoice=invoice_id,
        payment={"payment_intent": intent_id, "type": "payment_intent"},
        status="paid",
        status_transitions={"canceled_at": None, "paid_at": at},
    )


def _totals(amount: int) -> JsonObject:
    asked = ("amount_due", "amount_remaining", "subtotal", "subtotal_excluding_tax", "total")
    moments = ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
    return {
        **dict.fromkeys(asked, amount),
        "amount_paid": 0,
        "status_transitions": dict.fromkeys(moments),
    }


def _belonging(builder: ObjectBuilder, subscription: JsonObject) -> JsonObject:
    identifier, details = subscription["id"], {"metadata": subscription["metadata"]}
    if not builder.new:
        return {"subscription": identifier, "subscription_details": details}
    return {
        "parent": {
            "quote_details": None,
            "subscription_details": {**details, "subscription": identifier},
            "type": "subscription_details",
        },
    }


def _old_line_paths(
    builder: ObjectBuilder, offer: SamplePrice, subscription: JsonObject, *, proration: bool
) -> JsonObject:
    return {
        "plan": plan(builder, offer),
        **({} if builder.shape is Shape.ANCIENT else {"price": price(builder, offer)}),
        "proration": proration,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
        "type": "subscription",
    }


def _new_line_paths(
    builder: ObjectBuilder, offer: SamplePrice, subscription: JsonObject, *, proration: bool
) -> JsonObject:
    return {
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": builder.id("ii"),
                "proration": proration,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
            },
            "type": "subscription_item_details",
        },
        "pricing": {
            "price_details": {"price": offer.price, "product": offer.product},
            "type": "price_details",
            "unit_amount_decimal": str(offer.amount),
        },
    }
