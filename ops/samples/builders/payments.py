"""Payments, the attempts to make them, and how they go back."""

from ops.samples.scenario import DAY, Pen
from ops.samples.unread_fields import JsonObject


def payment_intent(
    pen: Pen,
    *,
    customer_id: str | None,
    amount: int,
    at: int,
    invoice_id: str | None = None,
    metadata: JsonObject | None = None,
) -> JsonObject:
    """A payment nobody has tried yet; the old shape names its bill, the new one cuts its id off."""
    identifier = pen.id("pi")
    reference = invoice_id[:25] if invoice_id else None
    details = {"customer_reference": None, "order_reference": reference}
    return pen.write(
        "payment_intent",
        id=identifier,
        amount=amount,
        client_secret=f"{identifier}_secret_{pen.id('', 25)[1:]}",
        created=at,
        currency="usd",
        customer=customer_id,
        metadata=metadata or {},
        **({"payment_details": details} if pen.new else {"invoice": invoice_id}),
    )


def charge(
    pen: Pen, intent: JsonObject, *, at: int, status: str = "succeeded", invoice_id: str | None
) -> JsonObject:
    """One attempt to take a payment's money, with the payment's own metadata copied onto it."""
    succeeded = status == "succeeded"
    identifier = pen.id("ch")
    return pen.write(
        "charge",
        id=identifier,
        amount=intent["amount"],
        amount_captured=0 if status == "failed" else intent["amount"],
        balance_transaction=pen.id("txn") if succeeded else None,
        captured=status != "failed",
        created=at,
        currency=intent["currency"],
        customer=intent["customer"],
        metadata=intent["metadata"],
        paid=succeeded,
        payment_intent=intent["id"],
        payment_method=pen.id("pm"),
        receipt_url=f"https://pay.stripe.com/receipts/payment/{identifier}",
        status=status,
        **({} if pen.new else {"invoice": invoice_id}),
    )


def refund(pen: Pen, paid: JsonObject, *, amount: int, at: int) -> JsonObject:
    """A refund that went through, of the whole charge or of a part."""
    return pen.write(
        "refund",
        id=pen.id("re"),
        amount=amount,
        balance_transaction=pen.id("txn"),
        charge=paid["id"],
        created=at,
        currency=paid["currency"],
        payment_intent=paid["payment_intent"],
        status="succeeded",
    )


def dispute(pen: Pen, paid: JsonObject, *, at: int, status: str = "needs_response") -> JsonObject:
    """A dispute of the whole charge."""
    return pen.write(
        "dispute",
        id=pen.id("dp"),
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
        status=status,
    )
