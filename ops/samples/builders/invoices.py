"""Bills, their lines, and the payments that cover them."""

from collections.abc import Sequence

from ops.samples.api_shapes import Shape
from ops.samples.builders.prices import plan, price
from ops.samples.scenario import Pen
from ops.samples.shop import Offer
from ops.samples.unread_fields import JsonObject, listed


def invoice(
    pen: Pen,
    *,
    subscription: JsonObject | None,
    customer_id: str,
    lines: Sequence[JsonObject],
    at: int,
    reason: str,
) -> JsonObject:
    """A draft invoice for these lines; ``subscription`` is None for a bill sent by hand."""
    identifier = pen.id("in")
    amount = sum(line["amount"] for line in lines)
    names_bill = [{**line, "invoice": identifier} if pen.new else line for line in lines]
    return pen.write(
        "invoice",
        id=identifier,
        billing_reason=reason,
        created=at,
        customer=customer_id,
        customer_email="ada@example.com",
        lines=listed(names_bill, f"/v1/invoices/{identifier}/lines"),
        next_payment_attempt=at + 3600,
        period_end=at,
        period_start=at,
        **stage(pen, "draft"),
        **_totals(amount),
        **_belonging(pen, subscription),
    )


def stage(pen: Pen, status: str) -> JsonObject:
    """How far a bill has come: first by flags, then by a status with ``paid`` beside it."""
    paid = {} if pen.new else {"paid": status == "paid"}
    if pen.shape is Shape.ANCIENT:
        return {**paid, "closed": status == "paid", "forgiven": False}
    return {**paid, "status": status}


def invoice_line(
    pen: Pen,
    offer: Offer,
    *,
    subscription: JsonObject | None,
    period: tuple[int, int],
    amount: int | None = None,
    proration: bool = False,
    quantity: int = 1,
) -> JsonObject:
    """One line of a bill; ``amount`` is the offer's price unless it is stated, as prorations do."""
    total = offer.amount * quantity if amount is None else amount
    where = _new_line_paths if pen.new else _old_line_paths
    return pen.write(
        "line_item",
        id=pen.id("il"),
        amount=total,
        description=f"{quantity} x {offer.nickname}",
        period={"start": period[0], "end": period[1]},
        quantity=quantity,
        **where(pen, offer, subscription, proration=proration),
    )


def invoice_payment(
    pen: Pen, *, invoice_id: str, intent_id: str, amount: int, at: int
) -> JsonObject:
    """The link between a bill and what paid it: since basil the only sure one."""
    return pen.write(
        "invoice_payment",
        id=pen.id("inpay"),
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


def _belonging(pen: Pen, subscription: JsonObject | None) -> JsonObject:
    identifier = subscription["id"] if subscription else None
    details = {"metadata": subscription["metadata"] if subscription else {}}
    if not pen.new:
        return {"subscription": identifier, "subscription_details": details}
    if subscription is None:
        return {"parent": None}
    return {
        "parent": {
            "quote_details": None,
            "subscription_details": {**details, "subscription": identifier},
            "type": "subscription_details",
        },
    }


def _old_line_paths(
    pen: Pen, offer: Offer, subscription: JsonObject | None, *, proration: bool
) -> JsonObject:
    return {
        "plan": plan(pen, offer),
        **({} if pen.shape is Shape.ANCIENT else {"price": price(pen, offer)}),
        "proration": proration,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"] if subscription else None,
        "type": "subscription" if subscription else "invoiceitem",
    }


def _new_line_paths(
    pen: Pen, offer: Offer, subscription: JsonObject | None, *, proration: bool
) -> JsonObject:
    family = "subscription_item_details" if subscription else "invoice_item_details"
    details = {
        "invoice_item": pen.id("ii"),
        "proration": proration,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"] if subscription else None,
    }
    return {
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": None,
            family: details,
            "type": family,
        },
        "pricing": {
            "price_details": {"price": offer.price, "product": offer.product},
            "type": "price_details",
            "unit_amount_decimal": str(offer.amount),
        },
    }
