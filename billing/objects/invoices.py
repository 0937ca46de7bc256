"""Invoices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    InvoiceFields,
    InvoicePaymentFields,
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
from billing.statuses import (
    CANCELED,
    PAID,
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


def _billed(facts: Sequence[Observation[InvoiceFields]]) -> tuple[Offer, ...]:
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


def _shared(currency: str, done: Sequence[Observation[InvoicePaymentFields]]) -> Received:
    return Received(done[-1].fields.amount_paid, currency, done[0].at)
