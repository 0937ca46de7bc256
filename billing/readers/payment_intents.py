"""``payment_intent.*``: one payment, however many attempts it takes.

Until 2022 a payment intent contained its charges, which then state facts of their own.
"""

from collections.abc import Iterator

from billing.facts import Kind, PaymentIntentFields
from billing.readers.charges import CHARGE
from billing.readers.raw import (
    Raw,
    amount,
    completed,
    currency,
    metadata,
    reference,
    rows,
    table,
    text,
    whole,
    word,
)
from billing.readers.reader import Occasion, Reader


def _fields(raw: Raw, occasion: Occasion) -> PaymentIntentFields:
    return PaymentIntentFields(
        status=word(raw, "status"),
        amount=amount(raw, "amount"),
        amount_received=_amount_received(raw),
        currency=currency(raw),
        failed=_newest_attempt_failed(raw, occasion),
        user_id=metadata(raw, "user_id"),
        price_id=metadata(raw, "price_id"),
        plan_code=metadata(raw, "plan_code"),
        invoice=reference(raw, "invoice"),
        order_reference=text(table(raw, "payment_details"), "order_reference"),
    )


def _newest_attempt_failed(raw: Raw, occasion: Occasion) -> bool:
    if raw.get("status") == "succeeded":
        return False
    refused = isinstance(raw.get("last_payment_error"), dict)
    return refused or occasion.event_type == "payment_intent.payment_failed"


def _amount_received(raw: Raw) -> int:
    stated = whole(raw, "amount_received")
    if stated is None and raw.get("status") == "succeeded":
        return amount(raw, "amount")
    return stated or 0


def _others(raw: Raw) -> tuple[str | None, ...]:
    return (reference(raw, "invoice"), reference(raw, "latest_charge"))


def _inside(raw: Raw) -> Iterator[tuple[Reader, Raw]]:
    for charge in rows(raw, "charges"):
        yield CHARGE, completed(charge, payment_intent=raw.get("id"))


PAYMENT_INTENT = Reader(
    kind=Kind.PAYMENT_INTENT,
    stripe_name="payment_intent",
    fields=_fields,
    others=_others,
    inside=_inside,
)
EVENTS = {
    "payment_intent.created": PAYMENT_INTENT,
    "payment_intent.succeeded": PAYMENT_INTENT,
    "payment_intent.processing": PAYMENT_INTENT,
    "payment_intent.payment_failed": PAYMENT_INTENT,
    "payment_intent.canceled": PAYMENT_INTENT,
    "payment_intent.requires_action": PAYMENT_INTENT,
    "payment_intent.amount_capturable_updated": PAYMENT_INTENT,
    "payment_intent.partially_funded": PAYMENT_INTENT,
}
