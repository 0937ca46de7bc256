"""What the facts of one payment intent, charge, refund, dispute or invoice amount to.

Success is sticky: a payment that succeeded in any fact succeeded, however late a failure of an
earlier attempt arrives. Running totals are read from the newest snapshot and never added up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    PaymentIntentFields,
)
from billing.ids import CustomerId, ObjectKey, stripe_id_of
from billing.objects.observations import (
    Granting,
    Observation,
    Received,
    Said,
    customer_of,
    granting,
    latest,
    said,
    seen,
    state_of,
)
from billing.objects.ordering import History
from billing.objects.plan_references import Offer, offer_in_metadata
from billing.rows import PaymentStatus
from billing.statuses import (
    CANCELED,
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


def _received(currency: str, done: Sequence[Observation[PaymentIntentFields]]) -> Received:
    amount = done[-1].fields.amount_received
    return Received(amount, currency, min(fact.since for fact in done))


def _unfinished(state: PaymentIntentFields) -> PaymentStatus:
    if state.status == CANCELED:
        return PaymentStatus.CANCELED
    return PaymentStatus.FAILED if state.failed else PaymentStatus.PENDING
