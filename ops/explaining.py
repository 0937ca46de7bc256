"""Why a user may or may not use a feature: the rows put together into reasons. Pure.

For each feature there is an answer. An answer has a reason for each source that gives the feature
or could have given it: in force or not, decided by which event, paid by which payment, and what
would end it. What waits is told once for the user.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.catalogue import Catalogue, Disposition, Policy
from billing.ids import object_key
from billing.rows import PaymentRow, PaymentStatus, PurchaseRow, PurchaseStatus
from billing.summaries import STRIPE_PLAN
from billing.words import PAST_DUE, SUBSCRIPTION_ENDED, SUBSCRIPTION_GRANTS
from ops.moments import stamp
from ops.queries.standing import Grant, Revoked, Standing


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
        waiting=tuple(_waiting(standing)),
        failed=tuple(_failed(standing)),
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
    value = row.entitlements[feature]
    effective = standing.effective.get(feature)
    adds_up = feature in grant.per_seat
    return Reason(
        source=row.source,
        realm=row.realm,
        kind=_kind(row.source, row.plan_code),
        plan_code=row.plan_code,
        value=value,
        in_force=in_force,
        counts=in_force and bool(adds_up or (effective and effective.value == value)),
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
        ends=tuple(_ends(standing, grant)) if in_force else (),
    )


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


def _kind(source: str, plan_code: str) -> str:
    if plan_code == STRIPE_PLAN:
        return "customer"
    return "subscription" if source.startswith("sub_") else "purchase"


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


def _ends(standing: Standing, grant: Grant) -> Iterator[str]:
    row = grant.row
    if row.expires_at:
        yield f"time: it ends at {stamp(row.expires_at)} unless Stripe says otherwise before"
    match _kind(row.source, row.plan_code):
        case "customer":
            yield f"Stripe no longer listing the feature for customer {row.source}"
        case "subscription":
            yield from _ends_of_subscription(standing, grant)
        case _:
            yield from _ends_of_purchase(standing.catalogue.policy)


def _ends_of_subscription(standing: Standing, grant: Grant) -> Iterator[str]:
    source = grant.row.source
    mine = [s for s in standing.subscriptions if s.stripe_subscription_id == source]
    plan = standing.catalogue.plan_coded(grant.row.plan_code)
    granting = " or ".join(sorted(SUBSCRIPTION_GRANTS))
    if not mine:
        yield f"no snapshot of subscription {source} coming in time, or one that is not {granting}"
    elif mine[0].status == PAST_DUE:
        yield "its bill staying unpaid, or the subscription being canceled, paused or unpaid"
    else:
        grace = plan.grace_days if plan else 0
        late = f" (past_due: after {grace} days of grace)" if grace else ""
        yield f"a status other than {granting}{late}"
    yield "its items no longer standing for this plan"


def _ends_of_purchase(policy: Policy) -> Iterator[str]:
    by_policy = {
        "a full refund": policy.refund_full,
        "a partial refund": policy.refund_partial,
        "an open dispute": policy.dispute_open,
        "a lost dispute": policy.dispute_lost,
    }
    ending = [what for what, then in by_policy.items() if then is Disposition.END]
    yield " or ".join(ending) if ending else "nothing that happens to its payment"


def _missing(standing: Standing, feature: str) -> str:
    plans = [plan.code for plan in standing.catalogue.plans if feature in plan.features]
    sold = f"plans that do: {', '.join(plans)}" if plans else "no plan gives it"
    return f"{standing.user_id} has nothing that gives it; {sold}"


def _failed(standing: Standing) -> Iterator[str]:
    """Purchases that came to nothing."""
    for purchase in standing.purchases:
        if purchase.status in {PurchaseStatus.EXPIRED, PurchaseStatus.FAILED}:
            yield _unpaid(purchase)


def _unpaid(purchase: PurchaseRow) -> str:
    words = {
        PurchaseStatus.PENDING: "its payment has not succeeded yet",
        PurchaseStatus.EXPIRED: "its checkout expired before it was paid",
        PurchaseStatus.FAILED: "its payment failed",
    }
    plan = f" of plan {purchase.plan_code}" if purchase.plan_code else ""
    return f"Purchase {purchase.purchase_ref}{plan} gives nothing: {words[purchase.status]}."


def _waiting(standing: Standing) -> Iterator[str]:
    unknown = frozenset[str]().union(*(note.unknown_prices for note in standing.notes))
    yield from _unsold(standing, unknown)
    for purchase in standing.purchases:
        if purchase.status is PurchaseStatus.PENDING:
            yield _unpaid(purchase)
    for note in standing.notes:
        if note.waiting:
            yield (
                f"With {note.party} came something that would give access, or is money, and that"
                " names no user yet: it waits for metadata.user_id."
            )
        for subscription in sorted(note.missing_subscriptions):
            yield (
                f"No snapshot of subscription {subscription} has come: a checkout speaks for it"
                " for three days; send customer.subscription.* events to the endpoint."
            )
        for customer in sorted(note.incomplete_summaries):
            yield (
                f"Stripe's list of features for customer {customer} was cut off: those it lists"
                " are given, the others are not known."
            )


def _unsold(standing: Standing, unknown: frozenset[str]) -> Iterator[str]:
    """Prices that are in no plan, told of what was sold at them where that is known."""
    told: set[str] = set()
    for subscription in standing.subscriptions:
        for price in unknown.intersection(subscription.prices):
            if subscription.status not in SUBSCRIPTION_ENDED:
                told.add(price)
                named = f"Subscription {subscription.stripe_subscription_id}"
                yield f"{named} ({subscription.status}) is sold at {price}{_IN_NO_PLAN}"
    for purchase in standing.purchases:
        if purchase.status is PurchaseStatus.PAID and purchase.plan_code is None:
            told.add(purchase.price or "")
            named = f"Purchase {purchase.purchase_ref}"
            price = f"at {purchase.price}" if purchase.price else "under no price that is known"
            yield f"{named} is paid and was sold {price}{_IN_NO_PLAN}"
    yield from (f"Something was sold at {price}{_IN_NO_PLAN}" for price in sorted(unknown - told))


_IN_NO_PLAN = ", which is in no plan and gives nothing until `paidup plans apply` knows it."
