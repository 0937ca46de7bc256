"""``payment_intent.*``: one payment, however many attempts it takes.

Until 2022 a payment intent contained its charges, which then state facts of their own.
"""

from collections.abc import Iterator

from billing.facts import Kind, PaymentIntentFields
from billing.json_fields import (
    Raw,
    amount_in,
    currency_in,
    enum_in,
    integer_in,
    object_in,
    objects_in,
    reference_in,
    text_in,
    time_in,
    whole_metadata_in,
    with_known,
)
from billing.readers.charges import CHARGE
from billing.readers.reader import EventEffect, EventType, ReadContext, Reader


def _fields(raw: Raw, context: ReadContext) -> PaymentIntentFields:
    return PaymentIntentFields(
        status=enum_in(raw, "status"),
        amount=amount_in(raw, "amount"),
        amount_received=_amount_received(raw),
        currency=currency_in(raw),
        failed=_newest_attempt_failed(raw, context),
        invoice=reference_in(raw, "invoice"),
        order_reference=text_in(object_in(raw, "payment_details"), "order_reference"),
        metadata=whole_metadata_in(raw),
        own_created_at=time_in(raw, "created"),
        canceled_at=time_in(raw, "canceled_at"),
        latest_charge=reference_in(raw, "latest_charge"),
        manual_capture=text_in(raw, "capture_method") == "manual",
    )


def _newest_attempt_failed(raw: Raw, context: ReadContext) -> bool:
    if raw.get("status") == "succeeded":
        return False
    refused = isinstance(raw.get("last_payment_error"), dict)
    return refused or context.event_type == "payment_intent.payment_failed"


def _amount_received(raw: Raw) -> int:
    stated = integer_in(raw, "amount_received")
    if stated is None and raw.get("status") == "succeeded":
        return amount_in(raw, "amount")
    return stated or 0


def _references(raw: Raw) -> tuple[str | None, ...]:
    return (reference_in(raw, "invoice"), reference_in(raw, "latest_charge"))


def _embedded(raw: Raw) -> Iterator[tuple[Reader, Raw]]:
    for charge in objects_in(raw, "charges"):
        yield CHARGE, with_known(charge, payment_intent=raw.get("id"))


PAYMENT_INTENT = Reader(
    kind=Kind.PAYMENT_INTENT,
    describes=(
        "One payment, however many attempts it takes: the amount received, the user, the plan that"
        " its own metadata names. Charges it contains (until 2022) state facts of their own."
    ),
    fields=_fields,
    references=_references,
    embedded=_embedded,
)
EVENTS = {
    "payment_intent.created": EventType(
        PAYMENT_INTENT, EventEffect.LINKS, "A payment not made yet: pending."
    ),
    "payment_intent.succeeded": EventType(
        PAYMENT_INTENT,
        EventEffect.BOTH,
        "Money was received, and only a later failure of the same charge undoes that; without"
        " checkout and subscription a purchase of the plan that its metadata names.",
    ),
    "payment_intent.processing": EventType(
        PAYMENT_INTENT, EventEffect.MONEY, "Pending: the money is on its way."
    ),
    "payment_intent.payment_failed": EventType(
        PAYMENT_INTENT,
        EventEffect.MONEY,
        "The newest attempt failed; a later one may succeed. After a success of the same charge the"
        " bank returned a debit.",
    ),
    "payment_intent.canceled": EventType(
        PAYMENT_INTENT, EventEffect.MONEY, "Canceled, unless it had succeeded."
    ),
    "payment_intent.requires_action": EventType(
        PAYMENT_INTENT, EventEffect.ORDER, "Pending: the customer must confirm."
    ),
    "payment_intent.amount_capturable_updated": EventType(
        PAYMENT_INTENT,
        EventEffect.MONEY,
        "Authorised; of an authorisation that is captured in parts, the parts count at once.",
    ),
    "payment_intent.partially_funded": EventType(
        PAYMENT_INTENT,
        EventEffect.ORDER,
        "A part was received; it counts when the payment succeeds.",
    ),
}
