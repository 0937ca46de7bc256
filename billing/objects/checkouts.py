"""The state of a checkout session."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.facts import (
    CheckoutSessionFields,
)
from billing.ids import CustomerId, ObjectKey, stripe_id_of
from billing.objects.lines import LineList, fold_lines
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
    reference_of_line,
    references_in_metadata,
)
from billing.objects.user_statements import UserStatements, fold_user_statements
from billing.rows import PurchaseStatus
from billing.statuses import (
    NO_CURRENCY,
    SESSION_COMPLETE,
    SESSION_EXPIRED,
    SESSION_EXPIRED_EVENT,
    SESSION_FAILED_EVENT,
    SESSION_GRANTS,
    SESSION_PAID,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """A checkout: its payment status, its user, and the names of the plan it bought."""

    id: str
    customer_id: CustomerId | None
    user_statements: UserStatements
    by_payment_link: bool
    """True if a payment link made it; then the buyer may have written its client reference."""
    mode: str
    status: PurchaseStatus
    payment_intent: str | None
    subscription: str | None
    invoice: str | None
    granted: GrantBasis | None
    first_at: datetime
    money: ReceivedMoney | None
    """The money paid; None for a checkout that is free or paid later."""
    lines: LineList
    """What was bought, line by line; empty unless Stripe's API was asked."""
    stated: tuple[PlanReference, ...]
    """What its metadata and its payment link name: a price, a plan, the link, in this order."""
    stated_before: tuple[tuple[PlanReference, ...], ...]
    """The same of each event, as far as they differ."""

    @property
    def plan_references(self) -> tuple[PlanReference, ...]:
        """Every way in which it names a plan, the lines first."""
        return (*map(reference_of_line, self.lines.lines), *self.stated)


def fold_session(key: ObjectKey, history: ObjectHistory) -> SessionState:
    """Return the state of a checkout. No older or sibling fact undoes a payment."""
    facts = observations(history, CheckoutSessionFields)
    state = state_of(history, facts).fields
    grants = [fact for fact in facts if _grants(fact)]
    paid = [fact for fact in grants if fact.fields.payment_status == SESSION_PAID]
    return SessionState(
        id=stripe_id_of(key),
        customer_id=customer_of(history),
        user_statements=fold_user_statements(
            facts, last_value(fact.fields.own_created_at for fact in facts)
        ),
        by_payment_link=any(fact.fields.payment_link for fact in facts),
        mode=state.mode,
        status=_status(facts, grants),
        payment_intent=last_value(fact.fields.payment_intent for fact in facts),
        subscription=last_value(fact.fields.subscription for fact in facts),
        invoice=last_value(fact.fields.invoice for fact in facts),
        granted=grant_basis_of(grants, since=_first(grants) if grants else None),
        first_at=_first(facts),
        money=_money(paid) if paid else None,
        lines=fold_lines((fact.fields.lines, fact.fields.lines_complete) for fact in facts),
        stated=_stated(facts),
        stated_before=tuple(dict.fromkeys(_stated([fact]) for fact in facts)),
    )


def _stated(facts: Sequence[Observation[CheckoutSessionFields]]) -> tuple[PlanReference, ...]:
    link = last_value(fact.fields.payment_link for fact in facts)
    return (
        *references_in_metadata(newest_metadata(fact.fields.metadata for fact in facts)),
        *((PlanReference(refs=(link,)),) if link else ()),
    )


def _money(paid: Sequence[Observation[CheckoutSessionFields]]) -> ReceivedMoney:
    priced = paid[-1].fields
    return ReceivedMoney(priced.amount_total, priced.currency or NO_CURRENCY, _first(paid))


def _first(facts: Sequence[Observation[CheckoutSessionFields]]) -> datetime:
    return first_moment(facts, lambda fields: fields.own_created_at)


def _grants(fact: Observation[CheckoutSessionFields]) -> bool:
    return (
        fact.fields.payment_status in SESSION_GRANTS
        and fact.fields.status in SESSION_COMPLETE
        and fact.event_type not in (SESSION_EXPIRED_EVENT, SESSION_FAILED_EVENT)
    )


def _has_expired(fact: Observation[CheckoutSessionFields]) -> bool:
    return fact.event_type == SESSION_EXPIRED_EVENT or fact.fields.status == SESSION_EXPIRED


def _status(
    facts: Sequence[Observation[CheckoutSessionFields]],
    grants: Sequence[Observation[CheckoutSessionFields]],
) -> PurchaseStatus:
    if grants:
        return PurchaseStatus.PAID
    if any(fact.event_type == SESSION_FAILED_EVENT for fact in facts):
        return PurchaseStatus.FAILED
    if any(map(_has_expired, facts)):
        return PurchaseStatus.EXPIRED
    return PurchaseStatus.PENDING
