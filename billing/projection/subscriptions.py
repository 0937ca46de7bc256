"""The grants of a subscription: by its status, until its dates end them.

``active`` and ``trialing`` give access, ``past_due`` gives it for the plan's days of grace, every
other status gives none. While a subscription renews, no date ends it, so a late webhook takes no
access away. A paid checkout stands in for its subscription until a snapshot arrives.
"""

from collections.abc import Callable, Container, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from billing.catalogue import Plan
from billing.facts import Item, SubscriptionFields
from billing.ids import CustomerId, PlanCode, UserId
from billing.objects.checkouts import SessionState
from billing.objects.invoices import InvoiceState
from billing.objects.observations import GrantBasis, first_value
from billing.objects.plan_references import PlanReference
from billing.objects.store import RealmObjects
from billing.objects.subscriptions import SubscriptionState, latest_period
from billing.projection.grants import GrantCollector, PlanGrant
from billing.projection.ownership import Ownership
from billing.projection.plan_lookup import HeldPlan, PlanLookup, no_longer_sold
from billing.rows import SubscriptionRow
from billing.statuses import PAST_DUE, SUBSCRIPTION_GRANTS

PROVISIONAL_ACCESS = timedelta(days=3)
"""The time a paid checkout stands in for a subscription without a snapshot."""


class PaidCheckout(NamedTuple):
    """A paid checkout that began a subscription."""

    session: SessionState
    granted: GrantBasis


class SubscriptionSource(NamedTuple):
    """A subscription with every object that describes it.

    ``decided_by`` decides its access: the newest snapshot, or the checkout that began it.
    ``failures`` are the times at which the payment of an invoice failed.
    """

    id: str
    customer_id: CustomerId | None
    snapshot: SubscriptionState | None
    checkout: PaidCheckout | None
    decided_by: SubscriptionState | PaidCheckout
    failures: tuple[datetime, ...]


class Access(NamedTuple):
    """The state of a plan: active or not, until when, and the reason."""

    active: bool
    expires_at: datetime | None
    because: str


class PlanAccess(NamedTuple):
    """A plan and the access under it."""

    held: HeldPlan
    access: Access


PlanStarts = dict[PlanCode, tuple[HeldPlan, datetime]]
"""Every plan the subscription was ever on, as it was held last, and its first time."""


def sources_of(objects: RealmObjects, ownership: Ownership) -> list[SubscriptionSource]:
    """Return every subscription that a snapshot or a paid checkout states."""
    known = sorted(ownership.subscriptions_of_checkouts | objects.subscriptions.keys())
    found = [_source(objects, ownership, each) for each in known]
    return [source for source in found if source]


def _source(
    objects: RealmObjects, ownership: Ownership, subscription_id: str
) -> SubscriptionSource | None:
    snapshot = objects.subscriptions.get(subscription_id)
    checkouts = sorted(ownership.checkouts_of(subscription_id), key=_by_id)
    checkout = _newest_paid(checkouts)
    decided_by = _authority(snapshot, checkout)
    if decided_by is None:
        return None
    invoices = sorted(ownership.invoices_of(subscription_id), key=_by_id)
    described_by = (*((snapshot,) if snapshot else ()), *checkouts, *invoices)
    return SubscriptionSource(
        id=subscription_id,
        customer_id=first_value([each.customer_id for each in described_by]),
        snapshot=snapshot,
        checkout=checkout,
        decided_by=decided_by,
        failures=tuple(at for invoice in invoices for at in invoice.failures),
    )


def _by_id(source: SessionState | InvoiceState) -> str:
    return source.id


def _newest_paid(checkouts: Iterable[SessionState]) -> PaidCheckout | None:
    paid = [PaidCheckout(session, session.granted) for session in checkouts if session.granted]
    return max(paid, key=lambda checkout: checkout.granted.since, default=None)


def _authority(
    snapshot: SubscriptionState | None, checkout: PaidCheckout | None
) -> SubscriptionState | PaidCheckout | None:
    """Return the deciding object.

    A checkout gives way to a snapshot that is not older, has ended, or grants by itself.
    """
    if snapshot is None or checkout is None:
        return snapshot or checkout
    status = snapshot.newest.fields.status
    if (
        snapshot.ended
        or status in SUBSCRIPTION_GRANTS
        or snapshot.newest.at >= checkout.granted.since
    ):
        return snapshot
    return checkout


def project_subscriptions(
    sources: Iterable[SubscriptionSource],
    ownership: Ownership,
    lookup: PlanLookup,
    grants: GrantCollector,
    now: datetime,
) -> list[SubscriptionRow]:
    """Return a row for every subscription with a snapshot, and collect the grants of all."""
    rows = []
    for source in sources:
        owner = ownership.of_subscription(source.id)
        grants.add(owner, source.id, _plan_grants(source, lookup, now))
        if source.snapshot:
            rows.append(_row(grants, source, source.snapshot, owner.user_id))
    return rows


def _row(
    grants: GrantCollector,
    source: SubscriptionSource,
    snapshot: SubscriptionState,
    user_id: UserId | None,
) -> SubscriptionRow:
    fields = snapshot.newest.fields
    return SubscriptionRow(
        realm=grants.realm,
        stripe_subscription_id=source.id,
        stripe_customer_id=source.customer_id,
        user_id=user_id,
        status=fields.status,
        prices=snapshot.prices,
        current_period_end=snapshot.period_end,
        cancel_at_period_end=fields.cancel_at_period_end,
        as_of=snapshot.newest.at,
    )


def _plan_grants(source: SubscriptionSource, lookup: PlanLookup, now: datetime) -> list[PlanGrant]:
    """Return the present grants, and inactive ones for the plans of the past."""
    if isinstance(source.decided_by, PaidCheckout):
        event_id, guessed = source.decided_by.granted.newest.event_id, False
        given = _by_checkout(source, source.decided_by, lookup, now)
    else:
        event_id, guessed = source.decided_by.newest.event_id, source.decided_by.guessed
        given = _by_snapshot(source, source.decided_by, lookup, now)
    present = {each.held.plan.code: each for each in given}
    starts = _starts(source, lookup.held_plans, lookup.plans_named_by)
    before = _former_starts(source, lookup)
    past = _ended_plans(source, before, starts, present)
    since = before | starts
    return [
        PlanGrant(
            plan_code=code,
            features=held.plan.features_for(held.quantity),
            active=access.active,
            starts_at=since[code][1],
            expires_at=access.expires_at,
            event_id=event_id,
            because=access.because,
            guessed=guessed,
            per_seat=held.plan.summed_features,
        )
        for code, (held, access) in (past | present).items()
    ]


def _starts(
    source: SubscriptionSource,
    held_plans: Callable[[tuple[Item, ...]], tuple[HeldPlan, ...]],
    plans_named_by: Callable[[PlanReference], tuple[Plan, ...]],
) -> PlanStarts:
    """Return every plan the subscription was ever on, with the first time of each."""
    stated: PlanStarts = {}
    for at, items in source.snapshot.item_history if source.snapshot else ():
        for held in held_plans(items):
            since = stated[held.plan.code][1] if held.plan.code in stated else at
            stated[held.plan.code] = held, min(since, at)
    if source.checkout:
        for plan_reference in source.checkout.session.plan_references:
            for plan in plans_named_by(plan_reference):
                held, since = stated.get(
                    plan.code, (HeldPlan(plan, 1), source.checkout.granted.since)
                )
                stated[plan.code] = held, min(since, source.checkout.granted.since)
    return stated


def _former_starts(source: SubscriptionSource, lookup: PlanLookup) -> PlanStarts:
    """Return the same for the former catalogues, if there are any."""
    if not lookup.catalogue.former:
        return {}
    return _starts(source, lookup.former_held_plans, lookup.former_plans_named_by)


def _ended_plans(
    source: SubscriptionSource, before: PlanStarts, starts: PlanStarts, present: Container[PlanCode]
) -> dict[PlanCode, PlanAccess]:
    """Return the plans of former catalogues, and those that it is no longer on."""
    unsold = {c: _no_longer_sold(source.id, h) for c, (h, _) in before.items() if c not in starts}
    lost = {c: _no_longer(source.id, h) for c, (h, _) in starts.items() if c not in present}
    return unsold | lost


def _no_longer(subscription: str, held: HeldPlan) -> PlanAccess:
    because = f"Subscription {subscription} is no longer on plan {held.plan.code}."
    return PlanAccess(held, Access(active=False, expires_at=None, because=because))


def _no_longer_sold(subscription: str, held: HeldPlan) -> PlanAccess:
    because = no_longer_sold(f"Subscription {subscription}", held.plan)
    return PlanAccess(held, Access(active=False, expires_at=None, because=because))


def _by_checkout(
    source: SubscriptionSource, checkout: PaidCheckout, lookup: PlanLookup, now: datetime
) -> list[PlanAccess]:
    """Return access by a paid checkout: at once, and for three days without a snapshot."""
    until = checkout.granted.since + PROVISIONAL_ACCESS
    waits = f"no snapshot of subscription {source.id} has come since"
    access = Access(
        active=now < until,
        expires_at=until,
        because=f"Checkout {checkout.session.id} is complete; {waits}.",
    )
    items = source.snapshot.newest.fields.items if source.snapshot else ()
    held = lookup.held_plans(items)
    if not held:
        lookup.note_unknown_reference(checkout.session.plan_reference)
        held = tuple(
            HeldPlan(plan, 1) for plan in lookup.plans_named_by(checkout.session.plan_reference)
        )
    return [PlanAccess(each, access) for each in held]


def _by_snapshot(
    source: SubscriptionSource, snapshot: SubscriptionState, lookup: PlanLookup, now: datetime
) -> list[PlanAccess]:
    """Return access by the newest snapshot, for each plan of its items."""
    items = snapshot.newest.fields.items
    if not snapshot.ended:
        lookup.note_unknown_items(items)
    ends = _ends(snapshot.newest.fields, lookup)
    return [
        PlanAccess(held, _access(source, snapshot, held.plan, ends, now))
        for held in lookup.held_plans(items)
    ]


def _ends(fields: SubscriptionFields, lookup: PlanLookup) -> datetime | None:
    """Return ``cancel_at``, else the end of the latest paid period if it ends with that."""
    if fields.cancel_at or not fields.cancel_at_period_end:
        return fields.cancel_at
    return latest_period(item for item in fields.items if lookup.plan_of(item))


def _access(
    source: SubscriptionSource,
    snapshot: SubscriptionState,
    plan: Plan,
    ends: datetime | None,
    now: datetime,
) -> Access:
    """Return the access that the status gives; an unknown status gives none."""
    status = snapshot.newest.fields.status
    if status in SUBSCRIPTION_GRANTS:
        return _while_running(source.id, status, ends, now)
    if status == PAST_DUE:
        return _in_grace(source, snapshot, plan, ends, now)
    return Access(
        active=False,
        expires_at=_ended_at(snapshot),
        because=f"Subscription {source.id} is {status}, which gives no access.",
    )


def _ended_at(snapshot: SubscriptionState) -> datetime | None:
    return (snapshot.newest.fields.ended_at or snapshot.newest.at) if snapshot.ended else None


def _while_running(subscription: str, status: str, ends: datetime | None, now: datetime) -> Access:
    if ends is None:
        because = f"Subscription {subscription} is {status}."
        return Access(active=True, expires_at=None, because=because)
    ending = f"is {status} and ends" if now < ends else "ended"
    because = f"Subscription {subscription} {ending} on {_day(ends)}."
    return Access(active=now < ends, expires_at=ends, because=because)


def _in_grace(
    source: SubscriptionSource,
    snapshot: SubscriptionState,
    plan: Plan,
    ends: datetime | None,
    now: datetime,
) -> Access:
    """Return access for the plan's days of grace, no longer than the subscription lasts."""
    since = _past_due_since(source, snapshot)
    until = since + timedelta(days=plan.grace_days)
    until = min(until, ends) if ends else until
    grace = f"plan {plan.code} gives {plan.grace_days} days of grace"
    return Access(
        active=now < until,
        expires_at=until,
        because=f"Subscription {source.id} is past due since {_day(since)}; {grace}.",
    )


def _past_due_since(source: SubscriptionSource, snapshot: SubscriptionState) -> datetime:
    """Return the earliest sign of it since the last snapshot in another status."""
    not_past_due = snapshot.last_not_past_due_at
    signs = [at for at in source.failures if not_past_due is None or at > not_past_due]
    return min([*signs, snapshot.past_due_since or snapshot.newest.at])


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
