"""Steps of collecting an invoice, of which every paid period consists."""

from typing import NamedTuple

from ops.samples.builders import invoices, payments
from ops.samples.scenario import Scenario
from ops.samples.unread_fields import JsonObject

BILL_WAITS = 3600
"""Seconds that Stripe leaves a renewal's invoice open before it tries to collect it."""


class PaymentAttempt(NamedTuple):
    """A payment, or an attempt at one; ``ref`` is the key of its payment row."""

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


def ask(scenario: Scenario, bill: JsonObject, *, at: int) -> JsonObject:
    """Finalize the invoice and return the payment intent, still unpaid."""
    intent = payments.payment_intent(
        scenario.builder,
        customer_id=bill["customer"],
        amount=bill["amount_due"],
        at=at,
        invoice_id=bill["id"],
    )
    if not scenario.ancient:
        scenario.emit("payment_intent.created", intent, at=at)
        scenario.emit("invoice.finalized", _final(scenario, bill, intent, at=at), at=at)
    return intent


def collect(scenario: Scenario, bill: JsonObject, intent: JsonObject, *, at: int) -> PaymentAttempt:
    """Pay the invoice: one payment, with four or five events about it."""
    charge = _charge(scenario, bill, intent, at=at)
    paid = PaymentAttempt(intent=intent, charge=charge)
    scenario.emit("charge.succeeded", charge, at=at)
    if not scenario.ancient:
        scenario.change("payment_intent.succeeded", intent, at=at, **succeeded(paid))
    _bill_is_paid(scenario, bill, paid, at=at)
    return paid


def refuse(scenario: Scenario, bill: JsonObject, intent: JsonObject, *, at: int) -> JsonObject:
    """Decline the card; the intent stays open for another attempt."""
    why = {"failure_code": "card_declined", "failure_message": "Your card was declined."}
    charge = _charge(scenario, bill, intent, at=at, status="failed") | why
    scenario.emit("charge.failed", charge, at=at)
    error = {"charge": charge["id"], "code": "card_declined", "type": "card_error"}
    failed = {**intent, "last_payment_error": error, "latest_charge": charge["id"]}
    if not scenario.ancient:
        scenario.emit("payment_intent.payment_failed", failed, at=at)
    tried = _final(scenario, bill, intent, at=at) | {"attempted": True, "attempt_count": 1}
    scenario.emit("invoice.payment_failed", tried, at=at)
    return failed


def pay_nothing(scenario: Scenario, bill: JsonObject, *, at: int) -> None:
    """Pay an invoice over 0, without a payment."""
    final = _final(scenario, bill, None, at=at)
    scenario.emit("invoice.finalized", final, at=at)
    _bill_is_settled(scenario, final, {**final, **_settled(scenario, final, at=at)}, at=at)


def _final(
    scenario: Scenario, bill: JsonObject, intent: JsonObject | None, *, at: int
) -> JsonObject:
    names = (
        {}
        if scenario.builder.new or scenario.ancient
        else {"payment_intent": intent and intent["id"]}
    )
    return {
        **bill,
        **names,
        "number": f"{bill['id'][-8:].upper()}-0001",
        **invoices.stage(scenario.builder, "open"),
        "status_transitions": {**bill["status_transitions"], "finalized_at": at},
    }


def _settled(scenario: Scenario, bill: JsonObject, *, at: int) -> JsonObject:
    return {
        "amount_paid": bill["amount_due"],
        "amount_remaining": 0,
        "attempt_count": bill["attempt_count"] + 1,
        "attempted": True,
        "auto_advance": False,
        "next_payment_attempt": None,
        "status_transitions": {**bill["status_transitions"], "paid_at": at},
        **invoices.stage(scenario.builder, "paid"),
    }


def _bill_is_paid(scenario: Scenario, bill: JsonObject, paid: PaymentAttempt, *, at: int) -> None:
    final = _final(scenario, bill, paid.intent, at=at)
    names = {} if scenario.builder.new else {"charge": paid.charge["id"]}
    settled = {**final, **_settled(scenario, final, at=at), **names}
    _bill_is_settled(scenario, final, settled, at=at)
    if scenario.builder.new:
        link = invoices.invoice_payment(
            scenario.builder,
            invoice_id=bill["id"],
            intent_id=paid.intent["id"],
            amount=paid.amount,
            at=at,
        )
        scenario.emit("invoice_payment.paid", link, at=at)


def _bill_is_settled(
    scenario: Scenario, final: JsonObject, settled: JsonObject, *, at: int
) -> None:
    if not scenario.ancient:
        scenario.emit("invoice.updated", settled, at=at, before=final)
        scenario.emit("invoice.paid", settled, at=at)
    scenario.emit("invoice.payment_succeeded", settled, at=at)


def succeeded(paid: PaymentAttempt) -> JsonObject:
    """Return the fields of a payment intent once it is paid."""
    return {
        "amount_received": paid.amount,
        "last_payment_error": None,
        "latest_charge": paid.charge["id"],
        "payment_method": paid.charge["payment_method"],
        "status": "succeeded",
    }


def _charge(
    scenario: Scenario, bill: JsonObject, intent: JsonObject, *, at: int, status: str = "succeeded"
) -> JsonObject:
    return payments.charge(scenario.builder, intent, at=at, status=status, invoice_id=bill["id"])
