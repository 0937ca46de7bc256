"""What the facts of one payment intent, charge, refund, dispute or invoice amount to.

Success is sticky: a payment that succeeded in any fact succeeded, however late a failure of an
earlier attempt arrives. Running totals are read from the newest snapshot and never added up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    ChargeFields,
    DisputeFields,
    InvoiceFields,
    InvoicePaymentFields,
    PaymentIntentFields,
    Rank,
    RefundFields,
)
from billing.ids import CustomerId, ObjectKey, stripe_id_of
from billing.objects.observations import (
    Granting,
    Moment,
    Received,
    Said,
    Seen,
    customer_of,
    granting,
    latest,
    said,
    seen,
    state_of,
)
from billing.objects.ordering import History
from billing.projection.plan_lookup import Offer, offer_in_metadata
from billing.rows import PaymentStatus
from billing.statuses import (
    CANCELED,
    CHARGE_FAILED,
    DISPUTE_LOST,
    DISPUTE_WON,
    DISPUTES_WITHOUT_CONSEQUENCE,
    PAID,
    REFUND_GONE,
    SUCCEEDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A payment intent or a charge: what it brought in, and how far it came if it did not."""

    id: str
    customer_id: CustomerId | None
    said: Said
    status: PaymentStatus
    """How it stands as long as it has not succeeded."""
    money: Received | None
    """What it brought in, once it has succeeded."""
    currency: str
    first_at: datetime
    invoice: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent(Attempt):
    """A payment intent, with what its own metadata says that it buys."""

    granted: Granting | None
    order_reference: str | None
    offers: tuple[Offer, ...]


def read_intent(key: ObjectKey, history: History) -> Intent:
    """What was received is what the newest fact that succeeded says."""
    facts = seen(history, PaymentIntentFields)
    state = state_of(history, facts).fields
    done = [fact for fact in facts if fact.fields.status == SUCCEEDED]
    money = _received(state.currency, done) if done else None
    offer = offer_in_metadata(
        latest(fact.fields.price_id for fact in facts),
        latest(fact.fields.plan_code for fact in facts),
    )
    return Intent(
        id=stripe_id_of(key),
        customer_id=customer_of(history),
        said=said((fact.at, fact.fields.user_id) for fact in facts),
        status=_unfinished(state),
        money=money,
        currency=state.currency,
        first_at=facts[0].at,
        granted=granting(done, since=money.at if money else None),
        invoice=latest(fact.fields.invoice for fact in facts),
        order_reference=latest(fact.fields.order_reference for fact in facts),
        offers=(offer,) if offer else (),
    )


def _received(currency: str, done: Sequence[Seen[PaymentIntentFields]]) -> Received:
    amount = done[-1].fields.amount_received
    return Received(amount, currency, min(fact.since for fact in done))


def _unfinished(state: PaymentIntentFields) -> PaymentStatus:
    if state.status == CANCELED:
        return PaymentStatus.CANCELED
    return PaymentStatus.FAILED if state.failed else PaymentStatus.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge(Attempt):
    """A charge; ``refunded`` is the running total of its newest snapshot."""

    payment_intent: str | None
    refunded: int
    refunded_as_of: datetime
    refunded_by: Moment
    authorized_only: bool


def read_charge(key: ObjectKey, history: History) -> Charge:
    """A charge that was only authorised moved no money, and releasing it gives none back."""
    facts = seen(history, ChargeFields)
    state = state_of(history, facts)
    succeeded = [fact for fact in facts if fact.fields.status == SUCCEEDED]
    done = [fact for fact in succeeded if fact.fields.captured]
    return Charge(
        id=stripe_id_of(key),
        customer_id=customer_of(history),
        said=said((fact.at, fact.fields.user_id) for fact in facts),
        status=_untaken(state.fields),
        money=_captured(state.fields.currency, done) if done else None,
        currency=state.fields.currency,
        first_at=facts[0].at,
        payment_intent=latest(fact.fields.payment_intent for fact in facts),
        invoice=latest(fact.fields.invoice for fact in facts),
        refunded=state.fields.amount_refunded if done else 0,
        refunded_as_of=state.at,
        refunded_by=_refunded_by(facts, state),
        authorized_only=bool(succeeded) and not done,
    )


def _captured(currency: str, done: Sequence[Seen[ChargeFields]]) -> Received:
    return Received(done[-1].fields.amount_captured, currency, done[0].at)


def _untaken(state: ChargeFields) -> PaymentStatus:
    return PaymentStatus.FAILED if state.status == CHARGE_FAILED else PaymentStatus.PENDING


def _refunded_by(facts: Sequence[Seen[ChargeFields]], state: Seen[ChargeFields]) -> Moment:
    """The event that brought the running total to where it is."""
    total = state.fields.amount_refunded
    return next(
        Moment(fact.at, fact.event_id) for fact in facts if fact.fields.amount_refunded == total
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund; ``gone_at`` is when it failed, if it is failed now."""

    charge: str | None
    payment_intent: str | None
    succeeded: bool
    amount: int
    currency: str
    first_at: datetime
    created_at: datetime | None
    gone_at: datetime | None
    state: Seen[RefundFields]


def read_refund(_: ObjectKey, history: History) -> Refund:
    """Succeeded is not final: a bank can send a refund back days later."""
    facts = seen(history, RefundFields)
    state = state_of(history, facts)
    return Refund(
        charge=latest(fact.fields.charge for fact in facts),
        payment_intent=latest(fact.fields.payment_intent for fact in facts),
        succeeded=state.fields.status == SUCCEEDED,
        amount=state.fields.amount,
        currency=state.fields.currency,
        first_at=facts[0].at,
        created_at=_created_at(history),
        gone_at=_gone_at(facts),
        state=state,
    )


def _created_at(history: History) -> datetime | None:
    return next((fact.created_at for fact in history.facts if fact.rank is Rank.CREATED), None)


def _gone_at(facts: Sequence[Seen[RefundFields]]) -> datetime | None:
    gone = None
    for fact in reversed(facts):
        if fact.fields.status not in REFUND_GONE:
            break
        gone = min(gone or fact.since, fact.since)
    return gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """One dispute; only ``lost`` and what is still open have consequences."""

    id: str
    charge: str | None
    payment_intent: str | None
    opened_at: datetime
    currency: str
    lost: bool
    won: bool
    open: bool
    state: Seen[DisputeFields]


def read_dispute(key: ObjectKey, history: History) -> Dispute:
    """Lost is not final: an appeal can be won."""
    facts = seen(history, DisputeFields)
    state = state_of(history, facts)
    status = state.fields.status
    return Dispute(
        id=stripe_id_of(key),
        charge=latest(fact.fields.charge for fact in facts),
        payment_intent=latest(fact.fields.payment_intent for fact in facts),
        opened_at=state.fields.opened_at,
        currency=state.fields.currency,
        lost=status == DISPUTE_LOST,
        won=status == DISPUTE_WON,
        open=status != DISPUTE_LOST and status not in DISPUTES_WITHOUT_CONSEQUENCE,
        state=state,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """A bill: what was paid on it, by what, for which subscription."""

    id: str
    customer_id: CustomerId | None
    said: Said
    subscription: str | None
    money: Received | None
    """What was paid, and when the first of it came, as far as the bill says."""
    granted: Granting | None
    """Set once the whole of it is paid."""
    payment_refs: tuple[str, ...]
    offers: tuple[Offer, ...]
    failures: tuple[datetime, ...]


def read_invoice(key: ObjectKey, history: History) -> Invoice:
    """Once paid, a bill stays paid: a late snapshot of its open days does not open it again."""
    facts = seen(history, InvoiceFields)
    state = state_of(history, facts).fields
    settled = [fact for fact in facts if fact.fields.status == PAID]
    paid = settled or [fact for fact in facts if fact.fields.amount_paid > 0]
    paid_at = latest(fact.fields.paid_at for fact in facts) or (paid[0].at if paid else None)
    amount = (settled or facts)[-1].fields.amount_paid
    return Invoice(
        id=stripe_id_of(key),
        customer_id=customer_of(history),
        said=said((fact.at, fact.fields.user_id) for fact in facts),
        subscription=latest(fact.fields.subscription for fact in facts),
        money=Received(amount, state.currency, paid_at) if paid_at else None,
        granted=granting(settled, since=paid_at),
        payment_refs=tuple(dict.fromkeys(r for fact in facts for r in fact.fields.payment_refs)),
        offers=_billed(facts),
        failures=tuple(fact.since for fact in facts if fact.fields.payment_failed),
    )


def _billed(facts: Sequence[Seen[InvoiceFields]]) -> tuple[Offer, ...]:
    """What the bill's metadata and its lines name, in the order they are to be believed."""
    stated = offer_in_metadata(
        latest(fact.fields.price_id for fact in facts),
        latest(fact.fields.plan_code for fact in facts),
    )
    lines = latest(fact.fields.line_refs or None for fact in facts)
    listed = Offer(trust=0, refs=lines) if lines else None
    return tuple(offer for offer in (stated, listed) if offer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one payment paid of one invoice, as an ``invoice_payment`` says."""

    invoice: str | None
    payment_ref: str | None
    canceled: bool
    money: Received | None
    first_at: datetime


def read_share(_: ObjectKey, history: History) -> Share:
    """Paid once is paid, as for the payment itself."""
    facts = seen(history, InvoicePaymentFields)
    state = state_of(history, facts).fields
    done = [fact for fact in facts if fact.fields.status == PAID]
    return Share(
        invoice=latest(fact.fields.invoice for fact in facts),
        payment_ref=latest(fact.fields.payment_ref for fact in facts),
        canceled=state.status == CANCELED and not done,
        money=_shared(state.currency, done) if done else None,
        first_at=facts[0].at,
    )


def _shared(currency: str, done: Sequence[Seen[InvoicePaymentFields]]) -> Received:
    return Received(done[-1].fields.amount_paid, currency, done[0].at)
