"""One payment is one payment, however many objects describe it.

Its identity is the payment intent, else the charge that has none, else the payment record. Charges,
checkouts, refunds and disputes name it and are joined under it. The intent and its charges state
the amount received. Before they arrive, a checkout or an ``invoice_payment`` states it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from billing.ids import CustomerId
from billing.objects.charges import ChargeState, DisputeState, RefundState
from billing.objects.checkouts import SessionState
from billing.objects.invoices import InvoicePaymentState
from billing.objects.observations import ReceivedMoney, first_value
from billing.objects.payment_intents import AttemptState, IntentState
from billing.objects.store import RealmObjects
from billing.rows import PaymentStatus

Each = TypeVar("Each")


@dataclass(slots=True, kw_only=True)
class PaymentObjects:
    """All objects that describe one payment."""

    ref: str
    intent: IntentState | None = None
    attempts: list[AttemptState] = field(default_factory=list)
    """The most direct objects: the intent and the charges."""
    charges: list[ChargeState] = field(default_factory=list)
    sessions: list[SessionState] = field(default_factory=list)
    invoice_payments: list[InvoicePaymentState] = field(default_factory=list)
    refunds: list[RefundState] = field(default_factory=list)
    disputes: list[DisputeState] = field(default_factory=list)

    @property
    def is_known(self) -> bool:
        """True if something happened: an open invoice that names it makes no payment."""
        if self.attempts or self.refunds or self.disputes:
            return True
        paid = [session.money for session in self.sessions]
        paid += [invoice_payment.money for invoice_payment in self.invoice_payments]
        return any(paid)

    @property
    def customer_id(self) -> CustomerId | None:
        """The customer that the most direct object names."""
        named = [attempt.customer_id for attempt in self.attempts]
        named += [session.customer_id for session in self.sessions]
        return first_value(named)


def payments_of(objects: RealmObjects, identity: Mapping[str, str]) -> dict[str, PaymentObjects]:
    """Return the payments of a party by identity, including those that are only named so far."""
    payments: dict[str, PaymentObjects] = {}

    def payment_at(ref: str) -> PaymentObjects:
        ref = identity.get(ref, ref)
        if ref not in payments:
            payments[ref] = PaymentObjects(ref=ref)
        return payments[ref]

    for intent in objects.intents.values():
        payment = payment_at(intent.id)
        payment.intent, payment.attempts = intent, [intent]
    for charge in _by_id(objects.charges):
        payment = payment_at(charge.id)
        payment.charges.append(charge)
        payment.attempts.append(charge)
    for session in _by_id(objects.sessions):
        if session.payment_intent:
            payment_at(session.payment_intent).sessions.append(session)
    for invoice_payment in _by_id(objects.invoice_payments):
        if invoice_payment.payment_ref and not invoice_payment.canceled:
            payment_at(invoice_payment.payment_ref).invoice_payments.append(invoice_payment)
    _add_what_went_back(objects, payment_at)
    return payments


def _add_what_went_back(objects: RealmObjects, payment_at: Callable[[str], PaymentObjects]) -> None:
    for refund in _by_id(objects.refunds):
        if named := refund.payment_intent or refund.charge:
            payment_at(named).refunds.append(refund)
    for dispute in _by_id(objects.disputes):
        if named := dispute.payment_intent or dispute.charge:
            payment_at(named).disputes.append(dispute)


def _by_id(objects: Mapping[str, Each]) -> list[Each]:
    return [objects[each] for each in sorted(objects)]


def identities(objects: RealmObjects) -> Mapping[str, str]:
    """Return the payment intent of every charge that any object links; of two, the lower id."""
    named: list[tuple[str | None, str | None]] = [
        (charge.id, charge.payment_intent) for charge in objects.charges.values()
    ]
    named += [(each.charge, each.payment_intent) for each in objects.refunds.values()]
    named += [(each.charge, each.payment_intent) for each in objects.disputes.values()]
    pairs = {(charge, intent) for charge, intent in named if charge and intent}
    return dict(sorted(pairs, reverse=True))


def received_money(payment: PaymentObjects) -> ReceivedMoney | None:
    """Return the money received, by the most direct object that states any."""
    done = [attempt.money for attempt in payment.attempts if attempt.money]
    if done:
        charged = sum(charge.money.amount for charge in payment.charges if charge.money)
        intended = payment.intent.money if payment.intent else None
        return _seen_first(done, max(charged, intended.amount if intended else 0))
    paid = [session.money for session in payment.sessions if session.money]
    if paid:
        return _seen_first(paid, paid[0].amount)
    invoice_payments = [
        invoice_payment.money
        for invoice_payment in payment.invoice_payments
        if invoice_payment.money
    ]
    return (
        _seen_first(
            invoice_payments, sum(invoice_payment.amount for invoice_payment in invoice_payments)
        )
        if invoice_payments
        else None
    )


def _seen_first(witnesses: list[ReceivedMoney], amount: int) -> ReceivedMoney:
    return ReceivedMoney(amount, witnesses[0].currency, min(money.at for money in witnesses))


def status_of(payment: PaymentObjects, received: ReceivedMoney | None) -> PaymentStatus:
    """Return the status: succeeded if any money came, else the intent's, else the charges'."""
    if received:
        return PaymentStatus.SUCCEEDED
    if payment.intent:
        return payment.intent.status
    failed = [charge.status is PaymentStatus.FAILED for charge in payment.charges]
    return PaymentStatus.FAILED if failed and all(failed) else PaymentStatus.PENDING


def refunded_amount(payment: PaymentObjects, received: ReceivedMoney | None) -> int:
    """Return the amount refunded.

    It is the charges' running totals less refunds that failed since, or the sum of the refunds that
    succeeded, whichever is more. Releasing an authorisation gives no money back, and no more goes
    back than was received.
    """
    total = _given_back(payment)
    if received:
        return min(total, received.amount)
    released = any(charge.authorized_only for charge in payment.charges)
    return 0 if released else total


def _given_back(payment: PaymentObjects) -> int:
    running = sum([charge.refunded for charge in payment.charges])
    if not payment.refunds:
        return running
    failed = sum(refund.amount for refund in payment.refunds if _failed_since(payment, refund))
    succeeded = sum(refund.amount for refund in payment.refunds if refund.succeeded)
    return max(running - failed, succeeded)


def _failed_since(payment: PaymentObjects, refund: RefundState) -> bool:
    """Return True if a running total still contains a refund that failed after that snapshot."""
    totals = [c.refunded_as_of for c in payment.charges if refund.charge in (c.id, None)]
    if not totals or refund.failed_at is None:
        return False
    taken = max(totals)
    contained = refund.created_at is None or refund.created_at <= taken
    return contained and refund.failed_at > taken


def newest_dispute(payment: PaymentObjects) -> DisputeState | None:
    """Return the dispute that was opened last, whenever its last event came."""
    return max(payment.disputes, key=lambda each: (each.opened_at, each.id), default=None)


def first_seen(payment: PaymentObjects) -> datetime:
    """Return the time of the first observation of any of its objects."""
    moments = [attempt.first_at for attempt in payment.attempts]
    moments += [session.first_at for session in payment.sessions]
    moments += [invoice_payment.first_at for invoice_payment in payment.invoice_payments]
    moments += [refund.first_at for refund in payment.refunds]
    moments += [dispute.opened_at for dispute in payment.disputes]
    return min(moments)
