"""How Stripe collects a bill: the steps every paid period is made of."""

from typing import NamedTuple

from ops.samples.builders import invoices, payments
from ops.samples.scenario import Story
from ops.samples.unread_fields import JsonObject

BILL_WAITS = 3600
"""Stripe leaves the bill of a renewal open for an hour before it tries to collect it."""


class Payment(NamedTuple):
    """What paid, or tried to pay: ``ref`` is the id its payment row goes by."""

    intent: JsonObject
    charge: JsonObject

    @property
    def ref(self) -> str:
        """The payment intent, else the charge that has none."""
        return str(self.charge.get("payment_intent") or self.charge["id"])

    @property
    def amount(self) -> int:
        """The amount asked for, in minor units."""
        return int(self.intent["amount"])


def ask(story: Story, bill: JsonObject, *, at: int) -> JsonObject:
    """The bill is final and Stripe is about to collect it: the payment intent, still unpaid."""
    intent = payments.payment_intent(
        story.pen,
        customer_id=bill["customer"],
        amount=bill["amount_due"],
        at=at,
        invoice_id=bill["id"],
    )
    if not story.ancient:
        story.tell("payment_intent.created", intent, at=at)
        story.tell("invoice.finalized", _final(story, bill, intent, at=at), at=at)
    return intent


def collect(story: Story, bill: JsonObject, intent: JsonObject, *, at: int) -> Payment:
    """The bill gets paid: one payment, of which four or five events speak."""
    charge = payments.charge(story.pen, intent, at=at, invoice_id=bill["id"])
    if story.ancient:
        charge = _without_intent(charge)
    paid = Payment(intent=intent, charge=charge)
    story.tell("charge.succeeded", charge, at=at)
    if not story.ancient:
        story.change("payment_intent.succeeded", intent, at=at, **succeeded(paid))
    _bill_is_paid(story, bill, paid, at=at)
    return paid


def refuse(story: Story, bill: JsonObject, intent: JsonObject, *, at: int) -> JsonObject:
    """The card is declined; the intent stays open for another attempt."""
    charge = payments.charge(story.pen, intent, at=at, status="failed", invoice_id=bill["id"]) | {
        "failure_code": "card_declined",
        "failure_message": "Your card was declined.",
    }
    if story.ancient:
        charge = _without_intent(charge)
    story.tell("charge.failed", charge, at=at)
    error = {"charge": charge["id"], "code": "card_declined", "type": "card_error"}
    failed = {**intent, "last_payment_error": error, "latest_charge": charge["id"]}
    if not story.ancient:
        story.tell("payment_intent.payment_failed", failed, at=at)
    tried = _final(story, bill, intent, at=at) | {"attempted": True, "attempt_count": 1}
    story.tell("invoice.payment_failed", tried, at=at)
    return failed


def pay_nothing(story: Story, bill: JsonObject, *, at: int) -> None:
    """A bill over nothing is paid by itself: there is no payment."""
    final = _final(story, bill, None, at=at)
    story.tell("invoice.finalized", final, at=at)
    _bill_is_settled(story, final, {**final, **_settled(story, final, at=at)}, at=at)


def _final(story: Story, bill: JsonObject, intent: JsonObject | None, *, at: int) -> JsonObject:
    names = {} if story.pen.new or story.ancient else {"payment_intent": intent and intent["id"]}
    return {
        **bill,
        **names,
        "number": f"{bill['id'][-8:].upper()}-0001",
        **invoices.stage(story.pen, "open"),
        "status_transitions": {**bill["status_transitions"], "finalized_at": at},
    }


def _settled(story: Story, bill: JsonObject, *, at: int) -> JsonObject:
    return {
        "amount_paid": bill["amount_due"],
        "amount_remaining": 0,
        "attempt_count": bill["attempt_count"] + 1,
        "attempted": True,
        "auto_advance": False,
        "next_payment_attempt": None,
        "status_transitions": {**bill["status_transitions"], "paid_at": at},
        **invoices.stage(story.pen, "paid"),
    }


def _bill_is_paid(story: Story, bill: JsonObject, paid: Payment, *, at: int) -> None:
    final = _final(story, bill, paid.intent, at=at)
    names = {} if story.pen.new else {"charge": paid.charge["id"]}
    settled = {**final, **_settled(story, final, at=at), **names}
    _bill_is_settled(story, final, settled, at=at)
    if story.pen.new:
        link = invoices.invoice_payment(
            story.pen,
            invoice_id=bill["id"],
            intent_id=paid.intent["id"],
            amount=paid.amount,
            at=at,
        )
        story.tell("invoice_payment.paid", link, at=at)


def _bill_is_settled(story: Story, final: JsonObject, settled: JsonObject, *, at: int) -> None:
    if not story.ancient:
        story.tell("invoice.updated", settled, at=at, before=final)
        story.tell("invoice.paid", settled, at=at)
    story.tell("invoice.payment_succeeded", settled, at=at)


def succeeded(paid: Payment) -> JsonObject:
    """What a payment intent becomes once it is paid."""
    return {
        "amount_received": paid.amount,
        "last_payment_error": None,
        "latest_charge": paid.charge["id"],
        "payment_method": paid.charge["payment_method"],
        "status": "succeeded",
    }


def _without_intent(charge: JsonObject) -> JsonObject:
    return {name: value for name, value in charge.items() if name != "payment_intent"}
