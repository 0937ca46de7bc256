"""The state of a payment intent, and the base of all attempts at a payment.

Success is final: a payment that succeeded in any fact succeeded, however late a failure of an
earlier attempt arrives. Running totals come from the newest snapshot and are never added up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    PaymentIntentFields,
)
from billing.ids import CustomerId, ObjectKey, stripe_id_of
from billing.objects.observations import (
    GrantBasis,
    Observation,
    ReceivedMoney,
    customer_of,
    grant_basis_of,
    last_value,
    observations,
    state_of,
)
from billing.objects.ordering import ObjectHistory
from billing.objects.plan_references import PlanReference, reference_in_metadata
from billing.objects.user_statements import UserStatements, fold_user_statements
from billing.rows import PaymentStatus
from billing.statuses import (
    CANCELED,
    SUCCEEDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptState:
    """A payment intent or a charge: the money it brought, or its progress."""

    id: str
    customer_id: CustomerId | None
    user_statements: UserStatements
    status: PaymentStatus
    """The status as long as the attempt has not succeeded."""
    money: ReceivedMoney | None
    """The money it brought, once it has succeeded."""
    currency: str
    first_at: datetime
    invoice: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentState(AttemptState):
    """A payment intent, with the plan that its own metadata names."""

    granted: GrantBasis | None
    order_reference: str | None
    plan_references: tuple[PlanReference, ...]


def fold_intent(key: ObjectKey, history: ObjectHistory) -> IntentState:
    """Return the state of a payment intent. The newest successful fact states the amount."""
    facts = observations(history, PaymentIntentFields)
    state = state_of(history, facts).fields
    done = [fact for fact in facts if fact.fields.status == SUCCEEDED]
    money = _received(state.currency, done) if done else None
    plan_reference = reference_in_metadata(
        last_value(fact.fields.price_id for fact in facts),
        last_value(fact.fields.plan_code for fact in facts),
    )
    return IntentState(
        id=stripe_id_of(key),
        customer_id=customer_of(history),
        user_statements=fold_user_statements(
            facts, last_value(fact.fields.own_created_at for fact in facts)
        ),
        status=_status_before_success(state),
        money=money,
        currency=state.currency,
        first_at=facts[0].at,
        granted=grant_basis_of(done, since=money.at if money else None),
        invoice=last_value(fact.fields.invoice for fact in facts),
        order_reference=last_value(fact.fields.order_reference for fact in facts),
        plan_references=(plan_reference,) if plan_reference else (),
    )


def _received(currency: str, done: Sequence[Observation[PaymentIntentFields]]) -> ReceivedMoney:
    amount = done[-1].fields.amount_received
    return ReceivedMoney(amount, currency, min(fact.since for fact in done))


def _status_before_success(state: PaymentIntentFields) -> PaymentStatus:
    if state.status == CANCELED:
        return PaymentStatus.CANCELED
    return PaymentStatus.FAILED if state.failed else PaymentStatus.PENDING
