"""The state of an invoice and of an invoice payment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    InvoiceFields,
    InvoicePaymentFields,
)
from billing.ids import CustomerId, ObjectKey, stripe_id_of
from billing.objects.lines import LineList, fold_lines
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
from billing.objects.plan_references import (
    PlanReference,
    newest_metadata,
    reference_of_line,
    references_in_metadata,
)
from billing.objects.user_statements import UserStatements, fold_user_statements
from billing.statuses import (
    CANCELED,
    INVOICE_UNPAID,
    PAID,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceState:
    """An invoice: the money paid on it, the payments, the subscription."""

    id: str
    customer_id: CustomerId | None
    user_statements: UserStatements
    subscription: str | None
    money: ReceivedMoney | None
    """The money paid, and the time of the first payment as far as the invoice says."""
    granted: GrantBasis | None
    """Set once the invoice is paid in full."""
    payment_refs: tuple[str, ...]
    paid_out_of_band: bool
    """True if it was paid outside Stripe, so that no payment of Stripe's can be its money."""
    lines: LineList
    stated: tuple[PlanReference, ...]
    """What its own metadata names: a price, then a plan."""
    total: int | None
    """The total after discounts and taxes."""
    amount_due: int | None
    failures: tuple[datetime, ...]
    """The times at which Stripe's charge failed; who pays one that is sent may be in time yet."""
    unpaid_since: datetime | None
    """If it is still to be paid, the time at which it was due, else at which it was finalised."""
    sent: bool
    """True if it is sent, to be paid by its due date, so that Stripe makes no charge for it."""
    clocked: bool
    """True if it lives in the time of a test clock."""
    latest_moment: datetime
    """The newest time that it states."""

    @property
    def plan_references(self) -> tuple[PlanReference, ...]:
        """Every way in which it names a plan, its metadata first."""
        return (*self.stated, *map(reference_of_line, self.lines.lines))


def fold_invoice(key: ObjectKey, history: ObjectHistory) -> InvoiceState:
    """Return the state of an invoice. A late snapshot of its open days does not reopen it."""
    facts = observations(history, InvoiceFields)
    state = state_of(history, facts).fields
    settled = [fact for fact in facts if fact.fields.status == PAID]
    paid = settled or [fact for fact in facts if fact.fields.amount_paid > 0]
    paid_at = last_value(fact.fields.paid_at for fact in facts) or (paid[0].at if paid else None)
    amount = (settled or facts)[-1].fields.amount_paid
    sent = any(fact.fields.due_at for fact in facts)
    return InvoiceState(
        id=stripe_id_of(key),
        customer_id=customer_of(history),
        user_statements=fold_user_statements(
            facts, last_value(fact.fields.own_created_at for fact in facts)
        ),
        subscription=last_value(fact.fields.subscription for fact in facts),
        money=ReceivedMoney(amount, state.currency, paid_at) if paid_at else None,
        granted=grant_basis_of(settled, since=paid_at),
        payment_refs=tuple(dict.fromkeys(r for fact in facts for r in fact.fields.payment_refs)),
        paid_out_of_band=any(fact.fields.paid_out_of_band for fact in facts),
        lines=fold_lines((fact.fields.lines, fact.fields.lines_complete) for fact in facts),
        stated=references_in_metadata(newest_metadata(fact.fields.metadata for fact in facts)),
        total=state.total,
        amount_due=state.amount_due,
        failures=() if sent else tuple(f.since for f in facts if f.fields.payment_failed),
        unpaid_since=None if settled or state.status not in INVOICE_UNPAID else _due(facts),
        sent=sent,
        clocked=any(fact.fields.test_clock for fact in facts),
        latest_moment=max((at for fact in facts for at in _moments(fact)), default=facts[-1].at),
    )


def _due(facts: Sequence[Observation[InvoiceFields]]) -> datetime | None:
    """Return the due date of an invoice that is sent; any other is due once it is finalised."""
    finalized_at = last_value(f.fields.finalized_at or f.fields.own_created_at for f in facts)
    return last_value(fact.fields.due_at for fact in facts) or finalized_at


def _moments(fact: Observation[InvoiceFields]) -> Iterator[datetime]:
    """Yield the times that a fact states; the API dates its answers by the real clock."""
    stated = fact.fields
    if fact.event_type:
        yield fact.at
    yield from filter(None, (stated.own_created_at, stated.finalized_at, stated.paid_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicePaymentState:
    """The part of one invoice that one payment paid, by an ``invoice_payment`` object."""

    invoice: str | None
    payment_ref: str | None
    canceled: bool
    money: ReceivedMoney | None
    first_at: datetime


def fold_invoice_payment(_: ObjectKey, history: ObjectHistory) -> InvoicePaymentState:
    """Return the state of an invoice payment. Like a payment, once paid it stays paid."""
    facts = observations(history, InvoicePaymentFields)
    state = state_of(history, facts).fields
    done = [fact for fact in facts if fact.fields.status == PAID]
    return InvoicePaymentState(
        invoice=last_value(fact.fields.invoice for fact in facts),
        payment_ref=last_value(fact.fields.payment_ref for fact in facts),
        canceled=state.status == CANCELED and not done,
        money=_received(state.currency, done) if done else None,
        first_at=facts[0].at,
    )


def _received(currency: str, done: Sequence[Observation[InvoicePaymentFields]]) -> ReceivedMoney:
    paid_at = last_value(fact.fields.paid_at for fact in done)
    return ReceivedMoney(done[-1].fields.amount_paid, currency, paid_at or done[0].at)
