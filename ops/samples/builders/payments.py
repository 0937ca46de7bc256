"""Payments, the attempts to make them, refunds and disputes."""

from ops.samples.scenario import DAY, ObjectBuilder
from ops.samples.unread_fields import JsonObject


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
    identifier = builder.id("pi")
    reference = invoice_id[:25] if invoice_id else None
    details = {"customer_reference": None, "order_reference": reference}
    return builder.build(
        "payment_intent",
        id=identifier,
        amount=amount,
        client_secret=f"{identifier}_secret_{builder.id('', 25)[1:]}",
        created=at,
        currency="usd",
        customer=customer_id,
        metadata=metadata or {},
        **({"payment_details": details} if builder.new else {"invoice": invoice_id}),
    )


def charge(
    builder: ObjectBuilder,
    intent: JsonObject,
    *,
    at: int,
    status: str = "succeeded",
    invoice_id: str | None,
) -> JsonObject:
    """Build one attempt to collect a payment, with the payment's metadata copied onto it."""
    succeeded = status == "succeeded"
    identifier = builder.id("ch")
    return builder.build(
        "charge",
        id=identifier,
        amount=intent["amount"],
        amount_captured=0 if status == "failed" else intent["amount"],
        balance_transaction=builder.id("txn") if succeeded else None,
        captured=status != "failed",
        created=at,
        currency=intent["currency"],
        customer=intent["customer"],
        metadata=intent["metadata"],
        paid=succeeded,
        payment_intent=intent["id"],
        payment_method=builder.id("pm"),
        receipt_url=f"https://pay.stripe.com/receipts/payment/{identifier}",
        status=status,
        **({} if builder.new else {"invoice": invoice_id}),
    )


def refund(builder: ObjectBuilder, paid: JsonObject, *, amount: int, at: int) -> JsonObject:
    """Build a successful refund of the whole charge or of a part."""
    return builder.build(
        "refund",
        id=builder.id("re"),
        amount=amount,
        balance_transaction=builder.id("txn"),
        charge=paid["id"],
        created=at,
        currency=paid["currency"],
        payment_intent=paid["payment_intent"],
        status="succeeded",
    )


def dispute(builder: ObjectBuilder, paid: JsonObject, *, at: int) -> JsonObject:
    """Build a dispute of the whole charge."""
    return builder.build(
        "dispute",
        id=builder.id("dp"),
        amount=paid["amount"],
        charge=paid["id"],
        created=at,
        currency=paid["currency"],
        evidence_details={
            "due_by": at + 9 * DAY,
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        payment_intent=paid["payment_intent"],
        status="needs_response",
    )
