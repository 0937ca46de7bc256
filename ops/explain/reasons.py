"""Why a user may or may not use a feature: the rows put together into reasons. Pure.

For each feature there is an answer. An answer has a reason for each source that gives the feature
or could have given it: in force or not, decided by which event, paid by which payment, and what
would end it. What waits is told once for the user.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from billing.catalogue import Catalogue
from billing.ids import object_key
from billing.projection.effective import Effective, counts, in_force
from billing.rows import EntitlementRow, PaymentRow, PaymentStatus
from ops.explain.endings import ends, kind_of
from ops.explain.waiting import failed, waiting, without_effect
from ops.queries.user_state import Grant, Revoked, Standing
from ops.terminal.formats import stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Giving:
    """What one source under one plan means for one feature at a moment.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason(Giving):
    """The same now, with everything that belongs to it."""

    event_type: str | None
    decided_at: datetime | None
    catalogue_version: int
    revoked: Revoked | None
    payment: PaymentRow | None
    ends: tuple[str, ...]


R = TypeVar("R", bound=Giving)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[R]):
    """Whether the user may, how much, until when, and why; ``missing`` stands for no reasons.

    Of the past: whether he might, and until when by what was known.
    """

    feature: str
    allowed: bool
    value: Any
    expires_at: datetime | None
    reasons: tuple[R, ...]
    missing: str | None


def answer(
    feature: str, amounts_to: Effective | None, reasons: Iterable[R], missing: str
) -> Answer[R]:
    """What all sources together amount to, with the reasons; ``missing`` is said without any."""
    reasons = tuple(reasons)
    return Answer(
        feature=feature,
        allowed=bool(amounts_to and amounts_to.value),
        value=amounts_to.value if amounts_to else None,
        expires_at=amounts_to.expires_at if amounts_to else None,
        reasons=reasons,
        missing=None if reasons else missing,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything about a user at one moment, by one version of the plans."""

    user_id: str
    at: datetime
    catalogue_version: int
    answers: tuple[Answer[Reason], ...]
    waiting: tuple[str, ...]
    failed: tuple[str, ...]
    unheeded: tuple[str, ...]


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
        unheeded=tuple(without_effect(standing)),
    )


def _answer(standing: Standing, feature: str) -> Answer[Reason]:
    giving = [grant for grant in standing.grants if feature in grant.row.entitlements]
    reasons = sorted((_reason(standing, grant, feature) for grant in giving), key=_weight)
    return answer(feature, standing.effective.get(feature), reasons, _missing(standing, feature))


def _weight(reason: Reason) -> tuple[bool, bool, float]:
    return not reason.counts, not reason.in_force, -reason.starts_at.timestamp()


def giving(
    row: EntitlementRow,
    feature: str,
    among: Iterable[EntitlementRow],
    worth: Mapping[str, Effective],
    at: datetime,
) -> dict[str, Any]:
    """The members of ``Giving``; ``worth`` is what all rows that it is ``among`` amount to."""
    return {
        "source": row.source,
        "realm": row.realm,
        "kind": kind_of(row),
        "plan_code": row.plan_code,
        "value": row.entitlements[feature],
        "in_force": in_force(row, at),
        "counts": counts(row, feature, among, worth, at),
        "starts_at": row.starts_at,
        "expires_at": row.expires_at,
        "because": _because(row, at),
        "guessed": row.guessed,
        "event_id": row.event_id,
    }


def _reason(standing: Standing, grant: Grant, feature: str) -> Reason:
    row, among = grant.row, [each.row for each in standing.grants]
    given = giving(row, feature, among, standing.effective, standing.at)
    revoked = standing.revoked.get(f"{row.source}/{row.plan_code}")
    return Reason(
        **given,
        event_type=grant.decided_by,
        decided_at=grant.decided_at,
        catalogue_version=grant.catalogue_version,
        revoked=None if given["in_force"] else revoked,
        payment=_payment(standing, grant),
        ends=tuple(ends(standing, grant)) if given["in_force"] else (),
    )


def _because(row: EntitlementRow, at: datetime) -> str:
    """The row's own sentence, and what time has done to it since it was written."""
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
