"""``payment_intent.*``: one payment, however many attempts it takes.

Until 2022 a payment intent contained its charges, which then state facts of their own.
"""

from collections.abc import Iterator

from billing.facts import Kind, PaymentIntentFields
from billing.json_fields import (
    Raw,
    amount,
    completed,
    currency,
    reference,
    rows,
    table,
    text,
    whole,
    word,
)
from billing.readers.charges import CHARGE
from billing.readers.reader import Bearing, Occasion, Reader, Told


def _fields(raw: Raw, occasion: Occasion) -> PaymentIntentFields:
    own = table(raw, "metadata")
    return PaymentIntentFields(
        status=word(raw, "status"),
        amount=amount(raw, "amount"),
        amount_received=_amount_received(raw),
        currency=currency(raw),
        failed=_newest_attempt_failed(raw, occasion),
        user_id=text(own, "user_id"),
        price_id=text(own, "price_id"),
        plan_code=text(own, "plan_code"),
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
    states=(
        "One payment, however many attempts it takes: what came in, whose it is, the plan that its"
        " own metadata names. Charges it contains (until 2022) state facts of their own."
    ),
    fields=_fields,
    others=_others,
    inside=_inside,
)
EVENTS = {
    "payment_intent.created": Told(
        PAYMENT_INTENT, Bearing.LINKS, "A payment nobody has made yet: pending."
    ),
    "payment_intent.succeeded": Told(
        PAYMENT_INTENT,
        Bearing.BOTH,
        "Money came in, once and for all; without checkout and subscription a purchase of"
        " what its metadata names.",
    ),
    "payment_intent.processing": Told(
        PAYMENT_INTENT, Bearing.MONEY, "Pending: the money is on its way."
    ),
    "payment_intent.payment_failed": Told(
        PAYMENT_INTENT, Bearing.MONEY, "The newest attempt failed; a later one may succeed."
    ),
    "payment_intent.canceled": Told(
        PAYMENT_INTENT, Bearing.MONEY, "Canceled, unless it had succeeded."
    ),
    "payment_intent.requires_action": Told(
        PAYMENT_INTENT, Bearing.ORDER, "Pending: the customer must confirm."
    ),
    "payment_intent.amount_capturable_updated": Told(
        PAYMENT_INTENT, Bearing.ORDER, "Authorised, which is no money yet."
    ),
    "payment_intent.partially_funded": Told(
        PAYMENT_INTENT, Bearing.ORDER, "A part has come; it counts when the payment succeeds."
    ),
}
