"""The state of a charge, a refund and a dispute."""

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
    EventMoment,
    Observation,
    ReceivedMoney,
    customer_of,
    grant_basis_of,
    last_value,
    observations,
    state_of,
)
from billing.objects.ordering import ObjectHistory
from billing.objects.payment_intents import AttemptState
from billing.objects.plan_references import newest_metadata, references_in_metadata
from billing.objects.user_statements import fold_user_statements
from billing.rows import PaymentStatus
from billing.statuses import (
    CAPTURE_EVENT,
    CHARGE_FAILED,
    DISPUTE_LOST,
    DISPUTE_WON,
    DISPUTES_WITHOUT_CONSEQUENCE,
    REFUND_FAILED,
    REFUND_PENDING,
    SUCCEEDED,
    SUCCESS_EVENT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeState(AttemptState):
    """A charge; ``refunded`` is the running total of its newest snapshot.

    The running total holds what was authorised and released, too.
    """

    payment_intent: str | None
    authorized: int
    captured: bool
    captured_at: datetime | None
    """The second in which an authorisation was captured, if its event is known."""
    succeeded_at: datetime | None
    """The second in which it succeeded, if its event is known; a debit is made days before."""
    failed_at: datetime | None
    """The time since which it has been failed, if it is failed now."""
    refunded: int
    refunded_as_of: datetime
    refunded_by: EventMoment
    released_whole: bool
    """True if an authorisation was given up before anything was captured."""


def fold_charge(key: ObjectKey, history: ObjectHistory) -> ChargeState:
    """Return the state of a charge.

    An authorisation that was never captured moved no money, and releasing it gives none back. One
    that is captured in parts is money as far as it is captured.
    """
    facts = observations(history, ChargeFields)
    state = state_of(history, facts)
    succeeded = [fact for fact in facts if fact.fields.status == SUCCEEDED]
    done = [fact for fact in succeeded if fact.fields.captured or fact.fields.amount_captured]
    created = last_value(fact.fields.own_created_at for fact in facts)
    failed_at = _failed_since(facts)
    return ChargeState(
        id=stripe_id_of(key),
        customer_id=customer_of(history),
        user_statements=fold_user_statements(facts, created),
        status=_status_before_success(state.fields),
        collected=_captured(facts, done, created) if done else None,
        returned_at=failed_at if done else None,
        currency=state.fields.currency,
        first_at=created or facts[0].at,
        as_of=state.at,
        payment_intent=last_value(fact.fields.payment_intent for fact in facts),
        invoice=last_value(fact.fields.invoice for fact in facts),
        order_reference=last_value(fact.fields.order_reference for fact in facts),
        granted=grant_basis_of(done, since=created),
        stated=references_in_metadata(newest_metadata(fact.fields.metadata for fact in facts)),
        authorized=state.fields.amount,
        captured=state.fields.captured,
        captured_at=_first_of_type(facts, CAPTURE_EVENT),
        succeeded_at=_first_of_type(facts, SUCCESS_EVENT),
        failed_at=failed_at,
        refunded=state.fields.amount_refunded if done else 0,
        refunded_as_of=state.at,
        refunded_by=_refunded_by(facts, state),
        released_whole=bool(succeeded) and not done and _is_released(state.fields),
    )


def _captured(
    facts: Sequence[Observation[ChargeFields]],
    done: Sequence[Observation[ChargeFields]],
    created: datetime | None,
) -> ReceivedMoney:
    fields = done[-1].fields
    released = _released_by_capture(facts) if fields.captured_assumed else 0
    amount = fields.amount_captured - released
    return ReceivedMoney(amount, facts[-1].fields.currency, created or done[0].at)


def _released_by_capture(facts: Sequence[Observation[ChargeFields]]) -> int:
    """Return what a charge shows as refunded in the second of its capture.

    Nothing can go back before it came, so that is the rest which was released. Only a refund of the
    whole charge is one, because nothing is captured by a capture of nothing.
    https://docs.stripe.com/changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow
    """
    seconds = {fact.at for fact in facts if _is_capture(fact)}
    shown = [fact.fields for fact in facts if fact.at in seconds and fact.fields.captured]
    parts = [each.amount_refunded for each in shown if each.amount_refunded < each.amount]
    return max(parts, default=0)


def _is_capture(fact: Observation[ChargeFields]) -> bool:
    was_held = fact.before is not None and not fact.before.captured
    return fact.event_type == CAPTURE_EVENT or (was_held and fact.fields.captured)


def _first_of_type(facts: Sequence[Observation[ChargeFields]], event_type: str) -> datetime | None:
    return min((fact.since for fact in facts if fact.event_type == event_type), default=None)


def _failed_since(facts: Sequence[Observation[ChargeFields]]) -> datetime | None:
    """Return the time since which the charge has been failed, if it is failed now."""
    since = None
    for fact in reversed(facts):
        if fact.fields.status != CHARGE_FAILED:
            break
        since = fact.since
    return since


def _is_released(state: ChargeFields) -> bool:
    return state.refunded_in_full or state.amount_refunded >= state.amount


def _status_before_success(state: ChargeFields) -> PaymentStatus:
    return PaymentStatus.FAILED if state.status == CHARGE_FAILED else PaymentStatus.PENDING


def _refunded_by(
    facts: Sequence[Observation[ChargeFields]], state: Observation[ChargeFields]
) -> EventMoment:
    """Return the event that brought the running total to its present value."""
    total = state.fields.amount_refunded
    return next(
        EventMoment(fact.at, fact.event_id)
        for fact in facts
        if fact.fields.amount_refunded == total
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundState:
    """One refund; ``failed_at`` is the time of its failure, if it is failed now.

    ``pending`` is True while the money is not given back yet.
    """

    charge: str | None
    payment_intent: str | None
    succeeded: bool
    pending: bool
    amount: int
    currency: str
    first_at: datetime
    created_at: datetime | None
    failed_at: datetime | None
    newest: Observation[RefundFields]


def fold_refund(_: ObjectKey, history: ObjectHistory) -> RefundState:
    """Return the state of a refund. Success is not final: a bank can return a refund days later."""
    facts = observations(history, RefundFields)
    state = state_of(history, facts)
    created = last_value(fact.fields.own_created_at for fact in facts) or _created_event_at(history)
    return RefundState(
        charge=last_value(fact.fields.charge for fact in facts),
        payment_intent=last_value(fact.fields.payment_intent for fact in facts),
        succeeded=state.fields.status == SUCCEEDED,
        pending=state.fields.status in REFUND_PENDING,
        amount=state.fields.amount,
        currency=state.fields.currency,
        first_at=created or facts[0].at,
        created_at=created,
        failed_at=_failed_at(facts),
        newest=state,
    )


def _created_event_at(history: ObjectHistory) -> datetime | None:
    return next((fact.created_at for fact in history.facts if fact.rank is Rank.CREATED), None)


def _failed_at(facts: Sequence[Observation[RefundFields]]) -> datetime | None:
    gone = None
    for fact in reversed(facts):
        if fact.fields.status not in REFUND_FAILED:
            break
        gone = min(gone or fact.since, fact.since)
    return gone


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeState:
    """One dispute; only a lost or an open one has consequences."""

    id: str
    charge: str | None
    payment_intent: str | None
    opened_at: datetime
    amount: int
    currency: str
    lost: bool
    won: bool
    open: bool
    newest: Observation[DisputeFields]

    @property
    def decided_by(self) -> EventMoment:
        """The event that brought it to its present state."""
        return EventMoment(self.newest.at, self.newest.event_id)


def fold_dispute(key: ObjectKey, history: ObjectHistory) -> DisputeState:
    """Return the state of a dispute. A loss is not final: an appeal can be won."""
    facts = observations(history, DisputeFields)
    state = state_of(history, facts)
    status = state.fields.status
    return DisputeState(
        id=stripe_id_of(key),
        charge=last_value(fact.fields.charge for fact in facts),
        payment_intent=last_value(fact.fields.payment_intent for fact in facts),
        opened_at=state.fields.opened_at,
        amount=state.fields.amount,
        currency=state.fields.currency,
        lost=status == DISPUTE_LOST,
        won=status == DISPUTE_WON,
        open=status != DISPUTE_LOST and status not in DISPUTES_WITHOUT_CONSEQUENCE,
        newest=state,
    )
