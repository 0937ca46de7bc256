"""Charges."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    ChargeFields,
    DisputeFields,
    Rank,
    RefundFields,
)
from billing.ids import ObjectKey, stripe_id_of
from billing.objects.observations import (
    Moment,
    Observation,
    Received,
    customer_of,
    latest,
    said,
    seen,
    state_of,
)
from billing.objects.ordering import History
from billing.objects.payment_intents import Attempt
from billing.rows import PaymentStatus
from billing.statuses import (
    CHARGE_FAILED,
    DISPUTE_LOST,
    DISPUTE_WON,
    DISPUTES_WITHOUT_CONSEQUENCE,
    REFUND_GONE,
    SUCCEEDED,
)


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


def _captured(currency: str, done: Sequence[Observation[ChargeFields]]) -> Received:
    return Received(done[-1].fields.amount_captured, currency, done[0].at)


def _untaken(state: ChargeFields) -> PaymentStatus:
    return PaymentStatus.FAILED if state.status == CHARGE_FAILED else PaymentStatus.PENDING


def _refunded_by(
    facts: Sequence[Observation[ChargeFields]], state: Observation[ChargeFields]
) -> Moment:
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
    state: Observation[RefundFields]


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


def _gone_at(facts: Sequence[Observation[RefundFields]]) -> datetime | None:
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
    state: Observation[DisputeFields]


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
