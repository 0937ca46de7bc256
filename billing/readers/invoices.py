"""``invoice.*`` and ``invoice_payment.*``: bills, and what paid them.

Since basil an invoice names its subscription under ``parent`` and its payments, of which there
may be several, in a list of their own that events rarely contain.
"""

from collections.abc import Iterator
from datetime import datetime

from billing.facts import InvoiceFields, InvoicePaymentFields, Kind
from billing.json_fields import (
    Raw,
    amount,
    completed,
    currency,
    flag,
    instant,
    metadata,
    names_sold,
    reference,
    rows,
    table,
    text,
    whole,
    word,
)
from billing.readers.reader import Bearing, Occasion, Reader, Told

_PAID = ("invoice.paid", "invoice.payment_succeeded")
_WAYS_OF_PAYING = ("payment_intent", "charge", "payment_record")


def _invoice_fields(raw: Raw, occasion: Occasion) -> InvoiceFields:
    own = table(raw, "metadata")
    return InvoiceFields(
        status=_status(raw),
        amount_paid=_amount_paid(raw),
        currency=currency(raw),
        subscription=_subscription(raw),
        payment_refs=tuple(dict.fromkeys(_payments(raw))),
        line_refs=names_sold(rows(raw, "lines")),
        user_id=_user(raw),
        price_id=text(own, "price_id"),
        plan_code=text(own, "plan_code"),
        paid_at=_paid_at(raw, occasion),
        payment_failed=occasion.event_type == "invoice.payment_failed",
    )


def _status(raw: Raw) -> str | None:
    """Before 2018 an invoice had no status, only marks."""
    status = text(raw, "status")
    if status is None and flag(raw, "paid"):
        return "paid"
    return "uncollectible" if status is None and flag(raw, "forgiven") else status


def _amount_paid(raw: Raw) -> int:
    stated = whole(raw, "amount_paid")
    if stated is None and _status(raw) == "paid":
        return amount(raw, "amount_due")
    return stated or 0


def _subscription(raw: Raw) -> str | None:
    return reference(table(raw, "parent", "subscription_details"), "subscription") or reference(
        raw, "subscription"
    )


def _payments(raw: Raw) -> list[str]:
    named = [_payment_ref(payment) for payment in rows(raw, "payments")]
    named += (reference(raw, "payment_intent"), reference(raw, "charge"))
    return [ref for ref in named if ref]


def _user(raw: Raw) -> str | None:
    details = table(raw, "parent", "subscription_details")
    return (
        metadata(details, "user_id")
        or metadata(table(raw, "subscription_details"), "user_id")
        or metadata(raw, "user_id")
    )


def _paid_at(raw: Raw, occasion: Occasion) -> datetime | None:
    stated = instant(table(raw, "status_transitions"), "paid_at")
    return stated or (occasion.at if occasion.event_type in _PAID else None)


def _invoice_others(raw: Raw) -> tuple[str | None, ...]:
    return (_subscription(raw), *_payments(raw))


def _inside_invoice(raw: Raw) -> Iterator[tuple[Reader, Raw]]:
    for payment in rows(raw, "payments"):
        yield INVOICE_PAYMENT, completed(payment, invoice=raw.get("id"))


def _payment_fields(raw: Raw, _: Occasion) -> InvoicePaymentFields:
    return InvoicePaymentFields(
        status=word(raw, "status"),
        amount_paid=amount(raw, "amount_paid"),
        currency=currency(raw),
        invoice=reference(raw, "invoice"),
        payment_ref=_payment_ref(raw),
    )


def _payment_ref(raw: Raw) -> str | None:
    payment = table(raw, "payment")
    return next(filter(None, (reference(payment, way) for way in _WAYS_OF_PAYING)), None)


def _payment_others(raw: Raw) -> tuple[str | None, ...]:
    return (reference(raw, "invoice"), _payment_ref(raw))


INVOICE_PAYMENT = Reader(
    kind=Kind.INVOICE_PAYMENT,
    stripe_name="invoice_payment",
    states="Which payment paid how much of which invoice: since basil the only sure link.",
    fields=_payment_fields,
    others=_payment_others,
)
INVOICE = Reader(
    kind=Kind.INVOICE,
    stripe_name="invoice",
    states=(
        "A bill: what was paid of it, by what, for which subscription or plan. It is money of its"
        " own only as far as no payment linked to it covers it. Payments it contains"
        " state facts of their own."
    ),
    fields=_invoice_fields,
    others=_invoice_others,
    inside=_inside_invoice,
)
EVENTS = {
    "invoice.created": Told(
        INVOICE, Bearing.LINKS, "A draft: ties bill, customer and subscription together."
    ),
    "invoice.updated": Told(
        INVOICE, Bearing.MONEY, "Any change; what its snapshot says was paid counts."
    ),
    "invoice.finalized": Told(
        INVOICE, Bearing.LINKS, "The bill is open and, in old versions, names its payment intent."
    ),
    "invoice.finalization_failed": Told(
        INVOICE, Bearing.ORDER, "Still a draft: one more snapshot."
    ),
    "invoice.sent": Told(INVOICE, Bearing.ORDER, "One more snapshot."),
    "invoice.paid": Told(
        INVOICE,
        Bearing.BOTH,
        "Paid, and when; without checkout and subscription a purchase of what its"
        " metadata or lines name. An invoice of nothing is no payment.",
    ),
    "invoice.payment_succeeded": Told(
        INVOICE, Bearing.BOTH, "The same as `invoice.paid`, under its older name."
    ),
    "invoice.payment_failed": Told(
        INVOICE,
        Bearing.ACCESS,
        "The grace of a past due subscription starts here, if this is its earliest sign.",
    ),
    "invoice.payment_action_required": Told(
        INVOICE, Bearing.ORDER, "The customer must confirm the payment: one more snapshot."
    ),
    "invoice.payment_attempt_required": Told(
        INVOICE, Bearing.ORDER, "The invoice waits for somebody to try: one more snapshot."
    ),
    "invoice.overpaid": Told(
        INVOICE, Bearing.MONEY, "More was paid than asked for; what it says was paid counts."
    ),
    "invoice.overdue": Told(INVOICE, Bearing.ORDER, "One more snapshot."),
    "invoice.will_be_due": Told(INVOICE, Bearing.ORDER, "One more snapshot."),
    "invoice.marked_uncollectible": Told(
        INVOICE, Bearing.ORDER, "Given up, but not final: it may be paid yet."
    ),
    "invoice.voided": Told(
        INVOICE,
        Bearing.ORDER,
        "Will not be paid; what was paid of it before stands until its refund.",
    ),
    "invoice.deleted": Told(INVOICE, Bearing.ORDER, "A draft that is gone."),
    "invoice_payment.paid": Told(
        INVOICE_PAYMENT,
        Bearing.MONEY,
        "The payment covers its part of the bill, which is then not counted twice.",
    ),
}
