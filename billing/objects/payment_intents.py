"""The state of a payment intent, and the base of all attempts at a payment.

Success is final but for a returned debit: only a newer failure of the same charge undoes it, never
an older one or another attempt. Running totals come from the newest snapshot and are never added
up.
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
    first_moment,
    grant_basis_of,
    last_value,
    observations,
    state_of,
)
from billing.objects.ordering import ObjectHistory
from billing.objects.plan_references import (
    PlanReference,
    newest_metadata,
    references_in_metadata,
)
from billing.objects.user_statements import UserStatements, fold_user_statements
from billing.rows import PaymentStatus
from billing.statuses import (
    CANCELED,
    REQUIRES_CAPTURE,
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
    collected: ReceivedMoney | None
    """The money it brought once it succeeded, even if the bank has taken it back since."""
    returned_at: datetime | None
    """The second in which its success was undone: a returned debit."""
    currency: str
    first_at: datetime
    """The second in which it was made, else that of the first observation."""
    as_of: datetime
    """The time of the observation that is its state."""
    invoice: str | None
    order_reference: str | None
    """A text that may be the id of an invoice, possibly cut off."""
    granted: GrantBasis | None
    """Set once it has succeeded."""
    stated: tuple[PlanReference, ...]
    """What its own metadata names: a price, then a plan."""

    @property
    def money(self) -> ReceivedMoney | None:
        """The money it brought and the bank has not taken back."""
        return self.collected if self.returned_at is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentState(AttemptState):
    """A payment intent.

    ``final`` is True once nothing more can be captured. ``uncaptured`` is the part of its amount
    that it did not bring.
    """

    succeeded: bool
    final: bool
    uncaptured: int
    paid_by: str | None
    """The charge that brought the money, if the intent names it."""
    charges: tuple[str, ...]
    """Every charge that it ever named as its latest."""


def fold_intent(key: ObjectKey, history: ObjectHistory) -> IntentState:
    """Return the state of a payment intent. The newest successful fact states the amount.

    Of an authorisation that is captured in parts, the parts are money before it is ``succeeded``.
    https://docs.stripe.com/payments/multicapture
    """
    facts = observations(history, PaymentIntentFields)
    state = state_of(history, facts)
    succeeded = [fact for fact in facts if fact.fields.status == SUCCEEDED]
    done = succeeded or [fact for fact in facts if _is_captured_in_part(fact.fields)]
    collected = _collected(state.fields.currency, done) if done else None
    created = last_value(fact.fields.own_created_at for fact in facts)
    return IntentState(
        id=stripe_id_of(key),
        customer_id=customer_of(history),
        user_statements=fold_user_statements(facts, created),
        status=_status_before_success(state.fields),
        collected=collected,
        returned_at=_returned_at(facts, done[-1]) if done else None,
        currency=state.fields.currency,
        first_at=created or facts[0].at,
        as_of=state.at,
        granted=grant_basis_of(done, since=collected.at if collected else None),
        invoice=last_value(fact.fields.invoice for fact in facts),
        order_reference=last_value(fact.fields.order_reference for fact in facts),
        stated=references_in_metadata(newest_metadata(fact.fields.metadata for fact in facts)),
        succeeded=bool(succeeded),
        final=bool(succeeded) or state.fields.status == CANCELED,
        uncaptured=max(0, done[-1].fields.amount - done[-1].fields.amount_received) if done else 0,
        paid_by=done[-1].fields.latest_charge if done else None,
        charges=tuple(dict.fromkeys(c for f in facts if (c := f.fields.latest_charge))),
    )


def _is_captured_in_part(fields: PaymentIntentFields) -> bool:
    return fields.amount_received > 0 and fields.status in (REQUIRES_CAPTURE, CANCELED)


def _collected(currency: str, done: Sequence[Observation[PaymentIntentFields]]) -> ReceivedMoney:
    succeeded_at = first_moment(done, lambda fields: fields.own_created_at)
    return ReceivedMoney(done[-1].fields.amount_received, currency, succeeded_at)


def _returned_at(
    facts: Sequence[Observation[PaymentIntentFields]], paid: Observation[PaymentIntentFields]
) -> datetime | None:
    """Return the time at which the charge that had succeeded failed after all, if it did."""
    after = facts[facts.index(paid) + 1 :]
    charge = paid.fields.latest_charge
    failed = [fact for fact in after if fact.fields.failed and fact.fields.latest_charge == charge]
    return failed[0].since if failed and charge else None


def _status_before_success(state: PaymentIntentFields) -> PaymentStatus:
    if state.status == CANCELED:
        return PaymentStatus.CANCELED
    return PaymentStatus.FAILED if state.failed else PaymentStatus.PENDING
