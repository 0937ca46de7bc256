"""One payment is one payment, however many objects speak of it.

Its identity is the payment intent, else the charge that has none, else the payment record.
Charges, checkouts, refunds and disputes name it and add up to it. What came in is the word of
the intent and its charges; a checkout or an ``invoice_payment`` speaks where they have not come.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from billing.ids import CustomerId
from billing.objects.charges import Charge, Dispute, Refund
from billing.objects.checkouts import Session
from billing.objects.invoices import Share
from billing.objects.observations import Received, first
from billing.objects.payment_intents import Attempt, Intent
from billing.objects.store import Objects
from billing.rows import PaymentStatus

Each = TypeVar("Each")


@dataclass(slots=True, kw_only=True)
class Payment:
    """Everything that speaks of one payment."""

    ref: str
    intent: Intent | None = None
    attempts: list[Attempt] = field(default_factory=list)
    """The objects whose word comes first: the intent and the charges."""
    charges: list[Charge] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    disputes: list[Dispute] = field(default_factory=list)

    @property
    def is_known(self) -> bool:
        """Whether anything happened to it: being named by an open bill makes no payment."""
        if self.attempts or self.refunds or self.disputes:
            return True
        paid = [session.money for session in self.sessions]
        paid += [share.money for share in self.shares]
        return any(paid)

    @property
    def customer_id(self) -> CustomerId | None:
        """The customer that the most direct of its objects names."""
        named = [attempt.customer_id for attempt in self.attempts]
        named += [session.customer_id for session in self.sessions]
        return first(named)


def payments_of(objects: Objects, identity: Mapping[str, str]) -> dict[str, Payment]:
    """The payments of a party by identity, also those that are only named so far."""
    payments: dict[str, Payment] = {}

    def known_as(ref: str) -> Payment:
        ref = identity.get(ref, ref)
        if ref not in payments:
            payments[ref] = Payment(ref=ref)
        return payments[ref]

    for intent in objects.intents.values():
        payment = known_as(intent.id)
        payment.intent, payment.attempts = intent, [intent]
    for charge in _by_id(objects.charges):
        payment = known_as(charge.id)
        payment.charges.append(charge)
        payment.attempts.append(charge)
    for session in _by_id(objects.sessions):
        if session.payment_intent:
            known_as(session.payment_intent).sessions.append(session)
    for share in _by_id(objects.shares):
        if share.payment_ref and not share.canceled:
            known_as(share.payment_ref).shares.append(share)
    _add_what_went_back(objects, known_as)
    return payments


def _add_what_went_back(objects: Objects, known_as: Callable[[str], Payment]) -> None:
    for refund in _by_id(objects.refunds):
        if named := refund.payment_intent or refund.charge:
            known_as(named).refunds.append(refund)
    for dispute in _by_id(objects.disputes):
        if named := dispute.payment_intent or dispute.charge:
            known_as(named).disputes.append(dispute)


def _by_id(objects: Mapping[str, Each]) -> list[Each]:
    return [objects[each] for each in sorted(objects)]


def identities(objects: Objects) -> Mapping[str, str]:
    """The payment intent of every charge for which any object names one; of two, the lower."""
    named: list[tuple[str | None, str | None]] = [
        (charge.id, charge.payment_intent) for charge in objects.charges.values()
    ]
    named += [(each.charge, each.payment_intent) for each in objects.refunds.values()]
    named += [(each.charge, each.payment_intent) for each in objects.disputes.values()]
    pairs = {(charge, intent) for charge, intent in named if charge and intent}
    return dict(sorted(pairs, reverse=True))


def received(payment: Payment) -> Received | None:
    """What came in, by the most direct witness that saw money."""
    done = [attempt.money for attempt in payment.attempts if attempt.money]
    if done:
        charged = sum(charge.money.amount for charge in payment.charges if charge.money)
        intended = payment.intent.money if payment.intent else None
        return _seen_first(done, max(charged, intended.amount if intended else 0))
    paid = [session.money for session in payment.sessions if session.money]
    if paid:
        return _seen_first(paid, paid[0].amount)
    shares = [share.money for share in payment.shares if share.money]
    return _seen_first(shares, sum(share.amount for share in shares)) if shares else None


def _seen_first(witnesses: list[Received], amount: int) -> Received:
    return Received(amount, witnesses[0].currency, min(money.at for money in witnesses))


def status_of(payment: Payment, came_in: Received | None) -> PaymentStatus:
    """Succeeded by any witness; else how far the intent came, else whether a charge may yet."""
    if came_in:
        return PaymentStatus.SUCCEEDED
    if payment.intent:
        return payment.intent.status
    failed = [charge.status is PaymentStatus.FAILED for charge in payment.charges]
    return PaymentStatus.FAILED if failed and all(failed) else PaymentStatus.PENDING


def refunded(payment: Payment, came_in: Received | None) -> int:
    """The charges' running totals less refunds that failed since, or the refunds that succeeded.

    Releasing an authorisation gives no money back, and no more goes back than came in.
    """
    total = _given_back(payment)
    if came_in:
        return min(total, came_in.amount)
    released = any(charge.authorized_only for charge in payment.charges)
    return 0 if released else total


def _given_back(payment: Payment) -> int:
    running = sum([charge.refunded for charge in payment.charges])
    if not payment.refunds:
        return running
    failed = sum(refund.amount for refund in payment.refunds if _failed_since(payment, refund))
    succeeded = sum(refund.amount for refund in payment.refunds if refund.succeeded)
    return max(running - failed, succeeded)


def _failed_since(payment: Payment, refund: Refund) -> bool:
    """Whether a running total still contains a refund that has failed after it was taken."""
    totals = [c.refunded_as_of for c in payment.charges if refund.charge in (c.id, None)]
    if not totals or refund.gone_at is None:
        return False
    taken = max(totals)
    contained = refund.created_at is None or refund.created_at <= taken
    return contained and refund.gone_at > taken


def newest_dispute(payment: Payment) -> Dispute | None:
    """The newest by when the dispute itself was opened, not by when its last event came."""
    return max(payment.disputes, key=lambda each: (each.opened_at, each.id), default=None)


def first_seen(payment: Payment) -> datetime:
    """When the first of its objects spoke."""
    moments = [attempt.first_at for attempt in payment.attempts]
    moments += [session.first_at for session in payment.sessions]
    moments += [share.first_at for share in payment.shares]
    moments += [refund.first_at for refund in payment.refunds]
    moments += [dispute.opened_at for dispute in payment.disputes]
    return min(moments)
