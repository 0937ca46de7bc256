"""One payment is one payment, however many objects describe it.

Its identity is the payment intent, else the charge that has none, else the payment record. Charges,
checkouts, refunds and disputes name it and are joined under it. The intent and its charges state
the amount received. Before they arrive, a checkout or an ``invoice_payment`` states it. Money is
dated by its own second (the charge's ``created``), not by the event that tells of it.
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
    named += [(charge, each.id) for each in objects.intents.values() for charge in each.charges]
    named += [(each.charge, each.payment_intent) for each in objects.refunds.values()]
    named += [(each.charge, each.payment_intent) for each in objects.disputes.values()]
    pairs = {(charge, intent) for charge, intent in named if charge and intent}
    return dict(sorted(pairs, reverse=True))


def collected_money(payment: PaymentObjects) -> ReceivedMoney | None:
    """Return the money that came, even if the bank has taken it back since."""
    charged = [charge.collected for charge in payment.charges if charge.collected]
    return _money_of_attempts(charged, payment.intent) or _money_promised(payment)


def received_money(payment: PaymentObjects) -> ReceivedMoney | None:
    """Return the money that came and stayed, by the most direct object that states any.

    Of a debit that the bank returned nothing stayed, also where a checkout or an invoice says paid.
    https://docs.stripe.com/payments/ach-direct-debit
    """
    if returned_at(payment):
        return None
    charged = [charge.money for charge in payment.charges if charge.money]
    intent = payment.intent if _intent_stands(payment) else None
    return _money_of_attempts(charged, intent) or _money_promised(payment)


def _money_of_attempts(
    charged: list[ReceivedMoney], intent: IntentState | None
) -> ReceivedMoney | None:
    """Return the sum of the charges, or the intent's amount, which is final once it succeeded."""
    intended = intent.collected if intent else None
    total = sum([money.amount for money in charged])
    if intent and intended:
        total = intended.amount if intent.succeeded else max(total, intended.amount)
    witnesses = charged or ([intended] if intended else [])
    return _seen_first(witnesses, total) if witnesses else None


def _money_promised(payment: PaymentObjects) -> ReceivedMoney | None:
    """Return the money that a checkout or an invoice payment states before the payment does."""
    paid = [session.money for session in payment.sessions if session.money]
    if paid:
        return _seen_first(paid, paid[0].amount)
    parts = [each.money for each in payment.invoice_payments if each.money]
    return _seen_first(parts, sum(part.amount for part in parts)) if parts else None


def _seen_first(witnesses: list[ReceivedMoney], amount: int) -> ReceivedMoney:
    return ReceivedMoney(amount, witnesses[0].currency, min([money.at for money in witnesses]))


def returned_at(payment: PaymentObjects) -> datetime | None:
    """Return the time at which the bank took the money back; None if money stayed or none came.

    Where only a checkout or an invoice payment states the money, a later failure of the last
    attempt takes it back.
    """
    if _intent_stands(payment) or any(charge.money for charge in payment.charges):
        return None
    returns = [charge.returned_at for charge in payment.charges if charge.returned_at]
    returns += _returns_of_intent(payment) or _failures_after_promise(payment)
    return max(returns, default=None)


def _failures_after_promise(payment: PaymentObjects) -> list[datetime]:
    promised, last = _money_promised(payment), _last_charge(payment)
    failures = [last.failed_at] if last and last.failed_at else []
    if payment.intent and payment.intent.status is not PaymentStatus.PENDING:
        failures.append(payment.intent.as_of)
    return [at for at in failures if promised and at > promised.at]


def _intent_stands(payment: PaymentObjects) -> bool:
    intent = payment.intent
    return bool(intent and intent.collected) and not _returns_of_intent(payment)


def _returns_of_intent(payment: PaymentObjects) -> list[datetime]:
    """Return the failures of the charge that had brought the intent's money."""
    intent = payment.intent
    if intent is None or intent.granted is None:
        return []
    returns = [intent.returned_at] if intent.returned_at else []
    for charge in payment.charges:
        failed_at = charge.failed_at if intent.paid_by else charge.returned_at
        if intent.paid_by in (charge.id, None) and failed_at:
            returns += [failed_at] if failed_at > intent.granted.newest.at else []
    return returns


def money_moments(payment: PaymentObjects) -> tuple[datetime, ...]:
    """Return every second at which the money may be said to have come.

    A delayed method's charge is made days before it and the intent succeed and the invoice is paid.
    """
    stated = [attempt.collected for attempt in payment.attempts]
    moments = [money.at for money in (*stated, collected_money(payment)) if money]
    succeeded = [charge.succeeded_at for charge in payment.charges if charge.collected]
    return tuple(dict.fromkeys((*moments, *filter(None, succeeded))))


def status_of(payment: PaymentObjects, received: ReceivedMoney | None) -> PaymentStatus:
    """Return the status: succeeded if money stayed, else by the newest word on the last attempt."""
    if received:
        return PaymentStatus.SUCCEEDED
    if returned_at(payment):
        return PaymentStatus.FAILED
    intent = payment.intent
    last = _last_charge(payment)
    if intent and (last is None or last.as_of <= intent.as_of or _is_canceled(intent)):
        return intent.status
    if last is None:
        return PaymentStatus.PENDING
    return PaymentStatus.CANCELED if last.released_whole else last.status


def _last_charge(payment: PaymentObjects) -> ChargeState | None:
    return max(payment.charges, key=lambda charge: (charge.first_at, charge.id), default=None)


def _is_canceled(intent: IntentState) -> bool:
    return intent.status is PaymentStatus.CANCELED


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
