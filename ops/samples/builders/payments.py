"""Payments, the attempts to make them, refunds and disputes."""

from ops.samples.scenario import ObjectBuilder
from ops.samples.unread_fields import JsonObject
from ops.samples.worlds.records import Charge, Dispute, Intent, Refund
from ops.samples.worlds.rendering import render


def payment_intent(
    builder: ObjectBuilder,
    *,
    customer_id: str,
    amount: int,
    at: int,
    invoice_id: str | None = None,
    metadata: JsonObject | None = None,
) -> JsonObject:
    """Build a payment before any attempt; the new shape cuts off the id of its invoice."""
    intent = Intent(
        id=builder.id("pi"),
        customer=customer_id,
        created=at,
        status="requires_payment_method",
        amount=amount,
        metadata=metadata or {},
        invoice=invoice_id,
    )
    return render(intent, builder.shape)


def charge(
    builder: ObjectBuilder,
    intent: JsonObject,
    *,
    at: int,
    status: str = "succeeded",
    invoice_id: str | None,
) -> JsonObject:
    """Build one attempt to collect a payment, with the payment's metadata copied onto it."""
    attempt = Charge(
        id=builder.id("ch"),
        customer=intent["customer"],
        created=at,
        status=status,
        amount=intent["amount"],
        currency=intent["currency"],
        captured=status != "failed",
        amount_captured=0 if status == "failed" else intent["amount"],
        intent=intent["id"],
        invoice=invoice_id,
        metadata=intent["metadata"],
    )
    return render(attempt, builder.shape)


def refund(builder: ObjectBuilder, paid: JsonObject, *, amount: int, at: int) -> JsonObject:
    """Build a successful refund of the whole charge or of a part."""
    back = Refund(
        id=builder.id("re"),
        charge=paid["id"],
        intent=paid["payment_intent"],
        created=at,
        amount=amount,
        status="succeeded",
        currency=paid["currency"],
    )
    return render(back, builder.shape)


def dispute(builder: ObjectBuilder, paid: JsonObject, *, at: int) -> JsonObject:
    """Build a dispute of the whole charge."""
    opened = Dispute(
        id=builder.id("dp"),
        charge=paid["id"],
        intent=paid["payment_intent"],
        created=at,
        amount=paid["amount"],
        status="needs_response",
        currency=paid["currency"],
    )
    return render(opened, builder.shape)
