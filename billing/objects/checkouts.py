"""Checkouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    CheckoutSessionFields,
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
from billing.objects.plan_references import Offer, most_trusted, offer_of_session
from billing.rows import PurchaseStatus
from billing.statuses import (
    NO_CURRENCY,
    SESSION_COMPLETE,
    SESSION_EXPIRED_EVENT,
    SESSION_FAILED_EVENT,
    SESSION_GRANTS,
    SESSION_PAID,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A checkout: what it bought, whether that is paid, and how it names the plan."""

    id: str
    customer_id: CustomerId | None
    said: Said
    mode: str
    status: PurchaseStatus
    payment_intent: str | None
    subscription: str | None
    invoice: str | None
    granted: Granting | None
    first_at: datetime
    money: Received | None
    """What was paid; None for a checkout that is free or paid later."""
    offer: Offer
    offers: tuple[Offer, ...]
    """Every way of naming that any fact has used."""


def read_session(key: ObjectKey, history: History) -> Session:
    """Paid once is paid: no older or sibling fact of the session takes that back."""
    facts = seen(history, CheckoutSessionFields)
    state = state_of(history, facts).fields
    grants = [fact for fact in facts if _grants(fact)]
    paid = [fact for fact in grants if fact.fields.payment_status == SESSION_PAID]
    return Session(
        id=stripe_id_of(key),
        customer_id=customer_of(history),
        said=said((fact.at, fact.fields.user_id) for fact in facts),
        mode=state.mode,
        status=_status(facts, grants),
        payment_intent=latest(fact.fields.payment_intent for fact in facts),
        subscription=latest(fact.fields.subscription for fact in facts),
        invoice=latest(fact.fields.invoice for fact in facts),
        granted=granting(grants),
        first_at=facts[0].at,
        money=_money(paid) if paid else None,
        offer=most_trusted(offer_of_session(fact.fields) for fact in facts),
        offers=tuple(dict.fromkeys(offer_of_session(fact.fields) for fact in facts)),
    )


def _money(paid: Sequence[Observation[CheckoutSessionFields]]) -> Received:
    priced = paid[-1].fields
    return Received(priced.amount_total, priced.currency or NO_CURRENCY, paid[0].at)


def _grants(fact: Observation[CheckoutSessionFields]) -> bool:
    return (
        fact.fields.payment_status in SESSION_GRANTS
        and fact.fields.status in SESSION_COMPLETE
        and fact.event_type not in (SESSION_EXPIRED_EVENT, SESSION_FAILED_EVENT)
    )


def _status(
    facts: Sequence[Observation[CheckoutSessionFields]],
    grants: Sequence[Observation[CheckoutSessionFields]],
) -> PurchaseStatus:
    if grants:
        return PurchaseStatus.PAID
    if any(fact.event_type == SESSION_FAILED_EVENT for fact in facts):
        return PurchaseStatus.FAILED
    if any(fact.event_type == SESSION_EXPIRED_EVENT for fact in facts):
        return PurchaseStatus.EXPIRED
    return PurchaseStatus.PENDING
