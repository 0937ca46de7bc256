"""The access that the state of a subscription gives to each plan.

``active`` and ``trialing`` give access, ``past_due`` gives it for the plan's days of grace, every
other status gives none: https://docs.stripe.com/billing/subscriptions/overview. While a
subscription renews, no date ends it, so a late webhook takes no access away. Grace prolongs what
was paid: an upgrade whose payment failed gives nothing. A pause of collection is no status
(https://docs.stripe.com/billing/subscriptions/pause-payment); ``[policy] collection_paused``
decides.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from billing.catalogue import Plan, Policy, PolicyAction
from billing.objects.subscriptions import SubscriptionState, latest_period
from billing.projection.plan_lookup import HeldPlan
from billing.projection.subscription_plans import RunPlans
from billing.projection.subscription_sources import SubscriptionSource
from billing.statuses import PAST_DUE, SUBSCRIPTION_GRANTS

FIRST_ATTEMPT_WITHIN: Final = timedelta(hours=2)
"""The time in which Stripe first charges for an invoice that is due; a retry comes days later.

An invoice of which only the creation is known is finalised and charged an hour after that:
https://docs.stripe.com/invoicing/integration/automatic-advancement-collection
"""


class Access(NamedTuple):
    """The state of a plan: active or not, until when, and the reason.

    ``resumes_at`` is the moment at which access comes back without an event.
    """

    active: bool
    expires_at: datetime | None
    because: str
    resumes_at: datetime | None = None


class PlanAccess(NamedTuple):
    """A plan and the access under it."""

    held: HeldPlan
    access: Access


def access_by_snapshot(
    source: SubscriptionSource,
    snapshot: SubscriptionState,
    plans: Sequence[RunPlans],
    policy: Policy,
    now: datetime,
) -> list[PlanAccess]:
    """Return the access to each plan that the state stands for or that grace prolongs.

    ``plans`` are those of each run of the snapshot's items.
    """
    present = plans[snapshot.present_run]
    ends = _ends(snapshot, present)
    if snapshot.newest.fields.status == PAST_DUE:
        given = _in_grace(source, snapshot, plans, ends, now)
    else:
        access = _by_status(source.id, snapshot, ends, now)
        given = [PlanAccess(held, access) for held in present.held]
    paused = _paused(source.id, snapshot, policy, now)
    if paused:
        given = [PlanAccess(held, paused if was.active else was) for held, was in given]
    return [_with_remarks(each, snapshot, present) for each in given]


def _ends(snapshot: SubscriptionState, present: RunPlans) -> datetime | None:
    """Return ``cancel_at``, else the end of the latest paid period if it ends with that."""
    fields = snapshot.newest.fields
    if fields.cancel_at or not fields.cancel_at_period_end:
        return fields.cancel_at
    return latest_period(snapshot.items[place] for place in present.entitled)


def _by_status(
    subscription: str, snapshot: SubscriptionState, ends: datetime | None, now: datetime
) -> Access:
    """Return the access that the status gives; an unknown status gives none."""
    status = snapshot.newest.fields.status
    if status in SUBSCRIPTION_GRANTS:
        return _while_running(subscription, status, ends, now)
    return Access(
        active=False,
        expires_at=_ended_at(snapshot),
        because=f"Subscription {subscription} is {status}, which gives no access.",
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
    plans: Sequence[RunPlans],
    ends: datetime | None,
    now: datetime,
) -> list[PlanAccess]:
    """Return the access that grace gives, and none for plans that were never paid."""
    since = _past_due_since(source, snapshot)
    prolonged = _prolonged(snapshot, plans)
    given = [
        PlanAccess(held, _of_grace(source.id, held.plan, since, ends, now)) for held in prolonged
    ]
    codes = {held.plan.code for held in prolonged}
    unpaid = [h for h in plans[snapshot.present_run].held if h.plan.code not in codes]
    return given + [PlanAccess(held, _unpaid(source.id, held.plan, since)) for held in unpaid]


def _prolonged(snapshot: SubscriptionState, plans: Sequence[RunPlans]) -> list[HeldPlan]:
    """Return what was paid and is still held, the smaller quantity of each plan.

    If nothing that was paid is held any more, it is what was paid. Without any observation of full
    access it is what is held.
    """
    present = plans[snapshot.present_run].held
    if snapshot.paid_run is None:
        return list(present)
    paid = {plan.code: quantity for plan, quantity in plans[snapshot.paid_run].held}
    shared = [
        HeldPlan(plan, min(quantity, paid[plan.code]))
        for plan, quantity in present
        if plan.code in paid
    ]
    return shared or list(plans[snapshot.paid_run].held)


def _of_grace(
    subscription: str, plan: Plan, since: datetime, ends: datetime | None, now: datetime
) -> Access:
    """Return access for the plan's days of grace, no longer than the subscription lasts."""
    until = since + timedelta(days=plan.grace_days)
    until = min(until, ends) if ends else until
    grace = f"plan {plan.code} gives {plan.grace_days} days of grace"
    return Access(
        active=now < until,
        expires_at=until,
        because=f"Subscription {subscription} is past due since {_day(since)}; {grace}.",
    )


def _unpaid(subscription: str, plan: Plan, since: datetime) -> Access:
    past_due = f"Subscription {subscription} is past due since {_day(since)}"
    because = f"{past_due}; plan {plan.code} was not paid before, so it has no grace."
    return Access(active=False, expires_at=None, because=because)


def _past_due_since(source: SubscriptionSource, snapshot: SubscriptionState) -> datetime:
    """Return the earliest sign of it since the last snapshot in another status.

    If it was past due before anything showed the subscription, as Stripe's API may, it is so since
    the first charge for its oldest unpaid invoice of the period that ran then failed. Without such
    a charge, since the due date of an invoice that is sent, else since the invoice was finalised.
    https://docs.stripe.com/api/subscriptions/object#subscription_object-status
    """
    not_past_due = snapshot.last_not_past_due_at
    signs = [at for at in source.failures if not_past_due is None or at > not_past_due]
    if snapshot.first_seen_past_due:
        signs += _unpaid_since(source, snapshot)
    return min([*signs, snapshot.past_due_since or snapshot.newest.at])


def _unpaid_since(source: SubscriptionSource, snapshot: SubscriptionState) -> list[datetime]:
    begins = snapshot.first_period_start
    return [
        _first_failed(source.failed_charges.get(invoice.id, ()), since)
        for invoice in source.invoices
        if (since := invoice.unpaid_since) and (begins is None or since >= begins)
    ]


def _first_failed(charges: Sequence[datetime], unpaid_since: datetime) -> datetime:
    """Return the time of the first attempt to collect an invoice; a later one is a retry."""
    until = unpaid_since + FIRST_ATTEMPT_WITHIN
    return min((at for at in charges if unpaid_since <= at <= until), default=unpaid_since)


def _paused(
    subscription: str, snapshot: SubscriptionState, policy: Policy, now: datetime
) -> Access | None:
    """Return the access while collection is paused, if the policy ends it for that time."""
    pause = snapshot.pause
    if pause is None or policy.collection_paused is PolicyAction.KEEP:
        return None
    until = pause.resumes_at
    if until and until <= now:
        return None
    paused = f"Collection of subscription {subscription} is paused"
    paused += f" until {_day(until)}" if until else ""
    because = f"{paused}, which gives no access by policy."
    return Access(active=False, expires_at=None, because=because, resumes_at=until)


def _with_remarks(each: PlanAccess, snapshot: SubscriptionState, present: RunPlans) -> PlanAccess:
    """Return the access with what the reader of its reason must know about the items."""
    remarks = ""
    if present.kept:
        prices = ", ".join(present.kept)
        remarks += f" In no plan: {prices}; by policy it keeps what it granted before."
    if not snapshot.items_complete:
        remarks += " Stripe's list of its items is cut off, so items may have gone."
    access = each.access._replace(because=each.access.because + remarks) if remarks else each.access
    return PlanAccess(each.held, access)


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
