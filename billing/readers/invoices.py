"""``invoice.*`` and ``invoice_payment.*``: invoices and the payments that pay them.

Since basil an invoice names its subscription under ``parent``, and its payments (there may be
several) in a separate list that events rarely contain.
"""

from collections.abc import Iterator
from datetime import datetime

from billing.facts import InvoiceFields, InvoicePaymentFields, Kind, Metadata
from billing.json_fields import (
    Raw,
    amount_in,
    currency_in,
    enum_in,
    flag_in,
    integer_in,
    is_whole_list,
    object_in,
    objects_in,
    reference_in,
    signed_in,
    text_in,
    time_in,
    whole_metadata_in,
    with_known,
)
from billing.readers.lines import invoice_lines
from billing.readers.reader import EventEffect, EventType, ReadContext, Reader

_PAID = ("invoice.paid", "invoice.payment_succeeded")
_WAYS_OF_PAYING = ("payment_intent", "charge", "payment_record")


def _invoice_fields(raw: Raw, context: ReadContext) -> InvoiceFields:
    return InvoiceFields(
        status=_status(raw),
        amount_paid=_amount_paid(raw),
        currency=currency_in(raw),
        subscription=_subscription(raw),
        payment_refs=tuple(dict.fromkeys(_payments(raw))),
        paid_at=_paid_at(raw, context),
        payment_failed=context.event_type == "invoice.payment_failed",
        metadata=whole_metadata_in(raw),
        subscription_metadata=_subscription_metadata(raw),
        lines=invoice_lines(raw),
        lines_complete=is_whole_list(raw, "lines"),
        total=signed_in(raw, "total"),
        amount_due=integer_in(raw, "amount_due"),
        paid_out_of_band=_is_paid_out_of_band(raw),
        billing_reason=text_in(raw, "billing_reason"),
        own_created_at=time_in(raw, "created") or time_in(raw, "date"),
        finalized_at=time_in(object_in(raw, "status_transitions"), "finalized_at"),
        due_at=time_in(raw, "due_date"),
        test_clock=reference_in(raw, "test_clock"),
    )


def _subscription_metadata(raw: Raw) -> Metadata:
    details = object_in(raw, "parent", "subscription_details")
    return whole_metadata_in(details) or whole_metadata_in(object_in(raw, "subscription_details"))


def _status(raw: Raw) -> str | None:
    """Return the status; before 2018 an invoice had only flags."""
    status = text_in(raw, "status")
    if status is None and flag_in(raw, "paid"):
        return "paid"
    return "uncollectible" if status is None and flag_in(raw, "forgiven") else status


def _amount_paid(raw: Raw) -> int:
    """Return the amount paid; versions differ in whether it holds what was paid outside Stripe.

    https://docs.stripe.com/api/invoices/object#invoice_object-amount_paid_off_stripe
    """
    stated = integer_in(raw, "amount_paid")
    outside = amount_in(raw, "amount_paid_off_stripe")
    if _status(raw) == "paid" and (stated is None or flag_in(raw, "paid_out_of_band")):
        outside = outside or amount_in(raw, "amount_due")
    return stated or outside


def _is_paid_out_of_band(raw: Raw) -> bool:
    return flag_in(raw, "paid_out_of_band") or amount_in(raw, "amount_paid_off_stripe") > 0


def _subscription(raw: Raw) -> str | None:
    return reference_in(
        object_in(raw, "parent", "subscription_details"), "subscription"
    ) or reference_in(raw, "subscription")


def _payments(raw: Raw) -> list[str]:
    named = [_payment_ref(payment) for payment in objects_in(raw, "payments")]
    named += (reference_in(raw, "payment_intent"), reference_in(raw, "charge"))
    return [ref for ref in named if ref]


def _paid_at(raw: Raw, context: ReadContext) -> datetime | None:
    stated = time_in(object_in(raw, "status_transitions"), "paid_at")
    return stated or (context.at if context.event_type in _PAID else None)


def _invoice_references(raw: Raw) -> tuple[str | None, ...]:
    return (_subscription(raw), *_payments(raw))


def _embedded_in_invoice(raw: Raw) -> Iterator[tuple[Reader, Raw]]:
    for payment in objects_in(raw, "payments"):
        yield INVOICE_PAYMENT, with_known(payment, invoice=raw.get("id"))


def _payment_fields(raw: Raw, _: ReadContext) -> InvoicePaymentFields:
    return InvoicePaymentFields(
        status=enum_in(raw, "status"),
        amount_paid=amount_in(raw, "amount_paid"),
        currency=currency_in(raw),
        invoice=reference_in(raw, "invoice"),
        payment_ref=_payment_ref(raw),
        own_created_at=time_in(raw, "created"),
        paid_at=time_in(object_in(raw, "status_transitions"), "paid_at"),
    )


def _payment_ref(raw: Raw) -> str | None:
    payment = object_in(raw, "payment")
    return next(filter(None, (reference_in(payment, way) for way in _WAYS_OF_PAYING)), None)


def _payment_references(raw: Raw) -> tuple[str | None, ...]:
    return (reference_in(raw, "invoice"), _payment_ref(raw))


INVOICE_PAYMENT = Reader(
    kind=Kind.INVOICE_PAYMENT,
    describes="The amount one payment paid of one invoice: since basil the only reliable link.",
    fields=_payment_fields,
    references=_payment_references,
)
INVOICE = Reader(
    kind=Kind.INVOICE,
    describes=(
        "An invoice: the amount paid, its payments, its subscription or plan. It counts as money"
        " only as far as no linked payment covers it. Payments that it contains state facts of"
        " their own."
    ),
    fields=_invoice_fields,
    references=_invoice_references,
    embedded=_embedded_in_invoice,
)
EVENTS = {
    "invoice.created": EventType(
        INVOICE, EventEffect.LINKS, "A draft: links invoice, customer and subscription."
    ),
    "invoice.updated": EventType(
        INVOICE, EventEffect.MONEY, "Any change; the paid amount of its snapshot counts."
    ),
    "invoice.finalized": EventType(
        INVOICE,
        EventEffect.LINKS,
        "The invoice is open and, in old versions, names its payment intent.",
    ),
    "invoice.finalization_failed": EventType(
        INVOICE, EventEffect.ORDER, "Still a draft: one more snapshot."
    ),
    "invoice.sent": EventType(INVOICE, EventEffect.ORDER, "One more snapshot."),
    "invoice.paid": EventType(
        INVOICE,
        EventEffect.BOTH,
        "Paid, and the time of payment. Each line that is no credit, no proration and no item of a"
        " subscription buys the plan that its price names; metadata names one where no line does."
        " An invoice of zero is no payment.",
    ),
    "invoice.payment_succeeded": EventType(
        INVOICE, EventEffect.BOTH, "The same as `invoice.paid`, under its older name."
    ),
    "invoice.payment_failed": EventType(
        INVOICE,
        EventEffect.ACCESS,
        "Starts the grace period of a past due subscription, if this is its earliest sign.",
    ),
    "invoice.payment_action_required": EventType(
        INVOICE, EventEffect.ORDER, "The customer must confirm the payment: one more snapshot."
    ),
    "invoice.payment_attempt_required": EventType(
        INVOICE, EventEffect.ORDER, "The invoice waits for a payment attempt: one more snapshot."
    ),
    "invoice.overpaid": EventType(
        INVOICE, EventEffect.MONEY, "More was paid than billed; the paid amount counts."
    ),
    "invoice.overdue": EventType(INVOICE, EventEffect.ORDER, "One more snapshot."),
    "invoice.will_be_due": EventType(INVOICE, EventEffect.ORDER, "One more snapshot."),
    "invoice.marked_uncollectible": EventType(
        INVOICE, EventEffect.ORDER, "Given up, but not final: it may still be paid."
    ),
    "invoice.voided": EventType(
        INVOICE,
        EventEffect.ORDER,
        "Will not be paid; amounts paid before stay until they are refunded.",
    ),
    "invoice.deleted": EventType(INVOICE, EventEffect.ORDER, "A deleted draft."),
    "invoice_payment.paid": EventType(
        INVOICE_PAYMENT,
        EventEffect.MONEY,
        "The payment covers its part of the invoice, so that it is not counted twice.",
    ),
}
