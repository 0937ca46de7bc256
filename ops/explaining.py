"""Why a user may or may not use a feature: the rows put together into reasons. Pure.

For each feature there is an answer. An answer has a reason for each source that gives the feature
or could have given it: in force or not, decided by which event, paid by which payment, and what
would end it. What waits is told once for the user.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.catalogue import Catalogue
from billing.ids import object_key
from billing.rows import PaymentRow, PaymentStatus
from ops.moments import stamp
from ops.queries.standing import Grant, Revoked, Standing
from ops.what_ends import ends, kind_of
from ops.what_waits import failed, waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What one source under one plan means for one feature.

    ``counts`` says that the feature's value is made of it; another source may give more.
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
    event_type: str | None
    decided_at: datetime | None
    catalogue_version: int
    revoked: Revoked | None
    payment: PaymentRow | None
    ends: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether the user may, how much, until when, and why; ``missing`` stands for no reasons."""

    feature: str
    allowed: bool
    value: Any
    expires_at: datetime | None
    reasons: tuple[Reason, ...]
    missing: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything about a user at one moment, by one version of the plans."""

    user_id: str
    at: datetime
    catalogue_version: int
    answers: tuple[Answer, ...]
    waiting: tuple[str, ...]
    failed: tuple[str, ...]


def features_of(standing: Standing) -> list[str]:
    """Every feature that anything the user has, or had, gives."""
    return sorted({name for grant in standing.grants for name in grant.row.entitlements})


def features_sold(catalogue: Catalogue) -> list[str]:
    """Every feature that any plan gives."""
    return sorted({name for plan in catalogue.plans for name in plan.features})


def explain(standing: Standing, features: Iterable[str]) -> Explanation:
    """Answer for each of these features, and tell what waits."""
    return Explanation(
        user_id=standing.user_id,
        at=standing.at,
        catalogue_version=standing.catalogue_version,
        answers=tuple(_answer(standing, feature) for feature in features),
        waiting=tuple(waiting(standing)),
        failed=tuple(failed(standing)),
    )


def _answer(standing: Standing, feature: str) -> Answer:
    giving = [grant for grant in standing.grants if feature in grant.row.entitlements]
    reasons = [_reason(standing, grant, feature) for grant in giving]
    effective = standing.effective.get(feature)
    return Answer(
        feature=feature,
        allowed=bool(effective and effective.value),
        value=effective.value if effective else None,
        expires_at=effective.expires_at if effective else None,
        reasons=tuple(sorted(reasons, key=_weight)),
        missing=None if giving else _missing(standing, feature),
    )


def _weight(reason: Reason) -> tuple[bool, bool, float]:
    return not reason.counts, not reason.in_force, -reason.starts_at.timestamp()


def _reason(standing: Standing, grant: Grant, feature: str) -> Reason:
    row, in_force = grant.row, _in_force(grant, standing.at)
    return Reason(
        source=row.source,
        realm=row.realm,
        kind=kind_of(row),
        plan_code=row.plan_code,
        value=row.entitlements[feature],
        in_force=in_force,
        counts=in_force and _counts(standing, grant, feature),
        starts_at=row.starts_at,
        expires_at=row.expires_at,
        because=_because(grant, standing.at),
        guessed=row.guessed,
        event_id=row.event_id,
        event_type=grant.decided_by,
        decided_at=grant.decided_at,
        catalogue_version=grant.catalogue_version,
        revoked=None if in_force else standing.revoked.get(f"{row.source}/{row.plan_code}"),
        payment=_payment(standing, grant),
        ends=tuple(ends(standing, grant)) if in_force else (),
    )


def _counts(standing: Standing, grant: Grant, feature: str) -> bool:
    """Whether the view's value is this row's, or the sum of seats that this row is part of."""
    worth = grant.row.entitlements[feature]
    if feature in grant.row.per_seat:
        worth = sum(
            each.row.entitlements[feature]
            for each in standing.grants
            if feature in each.row.per_seat and _in_force(each, standing.at)
        )
    return feature in standing.effective and standing.effective[feature].value == worth


def _in_force(grant: Grant, at: datetime) -> bool:
    """As the view ``effective_entitlements`` has it."""
    row = grant.row
    return row.active and row.starts_at <= at and (row.expires_at is None or row.expires_at > at)


def _because(grant: Grant, at: datetime) -> str:
    """The row's own sentence, and what time has done to it since it was written."""
    row = grant.row
    if row.active and row.expires_at and row.expires_at <= at:
        return f"{row.because} That was over at {stamp(row.expires_at)}."
    if row.active and row.starts_at > at:
        return f"{row.because} It begins at {stamp(row.starts_at)}."
    return row.because


def _payment(standing: Standing, grant: Grant) -> PaymentRow | None:
    """The newest payment for this plan, of those that brought money in."""
    came_in = [
        payment
        for payment in standing.payments
        if payment.realm == grant.row.realm
        and payment.status is PaymentStatus.SUCCEEDED
        and payment.plan_code in {grant.row.plan_code, None}
        and _paid_for(standing, payment) == grant.row.source
    ]
    return came_in[-1] if came_in else None


def _paid_for(standing: Standing, payment: PaymentRow) -> str | None:
    """The source that the money bought: a purchase, else the subscription of its bill."""
    for purchase in standing.purchases:
        if purchase.realm == payment.realm and purchase.payment_ref == payment.payment_ref:
            return purchase.purchase_ref
    named = (payment.invoice_id, payment.payment_ref)
    keys = (object_key(payment.realm, each) for each in named if each)
    return next((standing.paid_for[key] for key in keys if key in standing.paid_for), None)


def _missing(standing: Standing, feature: str) -> str:
    plans = [plan.code for plan in standing.catalogue.plans if feature in plan.features]
    sold = f"plans that do: {', '.join(plans)}" if plans else "no plan gives it"
    return f"{standing.user_id} has nothing that gives it; {sold}"
