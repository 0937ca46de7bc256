"""Explain access: the reasons why a user may or may not use a feature. Pure.

Each feature gets one answer. An answer has one reason for each source that gives the feature or
could give it: whether it is in force, the event that decided it, the payment behind it, and what
would end it. Incomplete things are listed once for the user.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from billing.catalogue import Catalogue
from billing.ids import object_key
from billing.projection.effective import EffectiveValue, counts, in_force
from billing.rows import EntitlementRow, PaymentRow, PaymentStatus
from ops.explain.endings import kind_of, list_endings
from ops.explain.waiting import (
    describe_waiting,
    list_failed,
    list_on_purpose,
    list_waiting,
    list_without_effect,
)
from ops.queries.links import ListedLink
from ops.queries.lookups import Candidate, Lookup
from ops.queries.user_state import Grant, Revocation, UserState
from ops.queries.waiting_events import InboxSearch
from ops.terminal.formats import format_time
from runtime.ledger.maintenance.archive_updates import UpdateProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReason:
    """The meaning of one source under one plan for one feature at a moment.

    ``counts`` is true if the feature's value comes from it; another source may give more.
    """

    source: str
    realm: str
    kind: str
    plan_code: str
    value: Any
    in_force: bool
    counts: bool
    starts_at: datetime
    expires_at: datetime | None
    because: str
    guessed: bool
    event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason(SourceReason):
    """The meaning of a source now, with its event, payment, revocation and endings."""

    event_type: str | None
    decided_at: datetime | None
    asked_for: str | None
    """The event for which Stripe's API was asked, if what the API showed decided it."""
    asked_by: str | None
    """The command that had the API asked, for whom and why, if it was for no event."""
    catalogue_version: int
    revoked: Revocation | None
    payment: PaymentRow | None
    ends: tuple[str, ...]


R = TypeVar("R", bound=SourceReason)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureAnswer(Generic[R]):
    """The answer for one feature: allowed or not, how much, until when, and why.

    ``missing`` says why there are no reasons. For a past moment ``expires_at`` is the end that was
    known then.
    """

    feature: str
    allowed: bool
    value: Any
    expires_at: datetime | None
    reasons: tuple[R, ...]
    missing: str | None


def build_answer(
    feature: str, amounts_to: EffectiveValue | None, reasons: Iterable[R], missing: str
) -> FeatureAnswer[R]:
    """Combine all sources into one answer; without reasons it keeps ``missing``."""
    reasons = tuple(reasons)
    return FeatureAnswer(
        feature=feature,
        allowed=bool(amounts_to and amounts_to.value),
        value=amounts_to.value if amounts_to else None,
        expires_at=amounts_to.expires_at if amounts_to else None,
        reasons=reasons,
        missing=None if reasons else missing,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All answers about a user at one moment, under one version of the catalogue.

    ``asked_for`` is what was asked for: the user, or an id of Stripe or an address that means this
    user. Without a user, ``has_user`` is false and it stands in ``user_id`` as well. ``known`` is
    false if no settled event names it; then ``candidates`` are customers that bear it as a name or
    in their metadata.
    """

    user_id: str
    has_user: bool
    asked_for: str
    known: bool
    candidates: tuple[Candidate, ...]
    more_candidates: bool
    at: datetime
    catalogue_version: int
    pending_updates: tuple[UpdateProgress, ...]
    """Changes that have not reached all old payments yet."""
    features: tuple[FeatureAnswer[Reason], ...]
    links: tuple[ListedLink, ...]
    """The links to the user that people made and that stand."""
    waiting: tuple[str, ...]
    failed: tuple[str, ...]
    on_purpose: tuple[str, ...]
    """What was paid for and is meant to give nothing."""
    without_effect: tuple[str, ...]
    in_inbox: tuple[str, ...]
    inbox_error: str | None

    @property
    def named_elsewhere(self) -> bool:
        """True if an event names it that is not settled, or if the inbox was not searched."""
        return bool(self.without_effect or self.in_inbox or self.inbox_error)


def features_of(state: UserState) -> list[str]:
    """Return every feature that the user's grants give or gave, sorted."""
    return sorted({name for grant in state.grants for name in grant.row.entitlements})


def features_sold(catalogue: Catalogue) -> list[str]:
    """Return every feature that any plan gives, sorted."""
    return sorted({name for plan in catalogue.plans for name in plan.features})


def explain(
    state: UserState, lookup: Lookup, features: Iterable[str], inbox: InboxSearch
) -> Explanation:
    """Explain each of these features, and list everything incomplete."""
    return Explanation(
        user_id=state.user_id,
        has_user=state.has_user,
        asked_for=lookup.text,
        known=lookup.known,
        candidates=lookup.candidates,
        more_candidates=lookup.more_candidates,
        at=state.at,
        catalogue_version=state.catalogue_version,
        pending_updates=state.pending_updates,
        features=tuple(_answer(state, feature) for feature in features),
        links=state.links,
        waiting=tuple(list_waiting(state)),
        failed=tuple(list_failed(state)),
        on_purpose=tuple(list_on_purpose(state)),
        without_effect=tuple(list_without_effect(state)),
        in_inbox=tuple(map(describe_waiting, inbox.events)),
        inbox_error=inbox.error,
    )


def _answer(state: UserState, feature: str) -> FeatureAnswer[Reason]:
    granting = [grant for grant in state.grants if feature in grant.row.entitlements]
    reasons = sorted(
        (_reason(state, grant, feature) for grant in granting),
        key=lambda each: (not each.counts, not each.in_force, -each.starts_at.timestamp()),
    )
    plans = plans_with(state.catalogue, feature)
    sold = f"plans that do: {plans}" if plans else "no plan gives it"
    missing = f"{state.user_id} has nothing that gives it; {sold}"
    return build_answer(feature, state.effective.get(feature), reasons, missing)


def plans_with(catalogue: Catalogue, feature: str) -> str:
    """Return the codes of the plans that give a feature, comma separated."""
    return ", ".join(plan.code for plan in catalogue.plans if feature in plan.features)


def reason_fields(
    row: EntitlementRow,
    feature: str,
    among: Iterable[EntitlementRow],
    effective: Mapping[str, EffectiveValue],
    at: datetime,
) -> dict[str, Any]:
    """Return the fields of ``SourceReason``; ``effective`` are the values of ``among``."""
    return {
        "source": row.source,
        "realm": row.realm,
        "kind": kind_of(row),
        "plan_code": row.plan_code,
        "value": row.entitlements[feature],
        "in_force": in_force(row, at),
        "counts": counts(row, feature, among, effective, at),
        "starts_at": row.starts_at,
        "expires_at": row.expires_at,
        "because": _because(row, at),
        "guessed": row.guessed,
        "event_id": row.event_id,
    }


def _reason(state: UserState, grant: Grant, feature: str) -> Reason:
    row, among = grant.row, [each.row for each in state.grants]
    given = reason_fields(row, feature, among, state.effective, state.at)
    revoked = state.revoked.get(f"{row.source}/{row.plan_code}")
    return Reason(
        **given,
        event_type=grant.decided_by,
        decided_at=grant.decided_at,
        asked_for=grant.asked_for,
        asked_by=grant.asked_by,
        catalogue_version=grant.catalogue_version,
        revoked=None if given["in_force"] else revoked,
        payment=_payment(state, grant),
        ends=tuple(list_endings(state, grant)) if given["in_force"] else (),
    )


def _because(row: EntitlementRow, at: datetime) -> str:
    """Return the row's own sentence, and its end if that makes a difference now."""
    if row.active and row.expires_at and row.expires_at <= at:
        return f"{row.because} It ended at {format_time(row.expires_at)}."
    return row.because


def _payment(state: UserState, grant: Grant) -> PaymentRow | None:
    """Return the newest successful payment for this grant."""
    came_in = (
        payment
        for payment in state.payments
        if payment.realm == grant.row.realm
        and payment.status is PaymentStatus.SUCCEEDED
        and grant.row.source in _paid_for(state, payment, grant.row.plan_code)
    )
    return max(came_in, key=lambda each: (each.occurred_at, each.payment_ref), default=None)


def _paid_for(state: UserState, payment: PaymentRow, plan_code: str) -> set[str]:
    """Return the sources of a plan that were paid: purchases, the subscription of the invoice."""
    sources = {
        purchase.purchase_ref
        for purchase in state.purchases
        if purchase.realm == payment.realm
        and purchase.payment_ref == payment.payment_ref
        and purchase.plan_code == plan_code
    }
    if payment.plan_code in {plan_code, None}:
        named = (payment.invoice_id, payment.payment_ref)
        keys = (object_key(payment.realm, each) for each in named if each)
        sources.update(state.paid_for[key] for key in keys if key in state.paid_for)
    return sources
