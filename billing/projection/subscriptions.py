"""The grants of a subscription: by its newest snapshot, else by the checkout that began it.

A paid checkout stands in for its subscription until a snapshot decides.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from billing.ids import EventId, PlanCode, UserId
from billing.objects.subscriptions import SubscriptionState
from billing.projection.clocks import Clocks
from billing.projection.grants import GrantCollector, PlanGrant
from billing.projection.invoices import MatchedPayments
from billing.projection.ownership import Ownership
from billing.projection.plan_lookup import HeldPlan, PlanLookup, no_longer_sold
from billing.projection.subscription_access import Access, PlanAccess, access_by_snapshot
from billing.projection.subscription_checkouts import lines_begun, plans_begun, plans_of_lines
from billing.projection.subscription_plans import RunPlans, plans_of_runs
from billing.projection.subscription_refunds import PeriodEnd, end_by_policy
from billing.projection.subscription_sources import PaidCheckout, SubscriptionSource
from billing.rows import SubscriptionRow
from billing.statuses import SUBSCRIPTION_GRANTS

PROVISIONAL_ACCESS = timedelta(days=3)
"""The time a paid checkout stands in for a subscription without a snapshot."""

PlanStarts = dict[PlanCode, tuple[HeldPlan, datetime]]
"""Every plan the subscription was ever on, as it was held last, and its first time."""


class SubscriptionContext(NamedTuple):
    """All that bears on the access of subscriptions besides themselves."""

    matched: MatchedPayments
    lookup: PlanLookup
    clocks: Clocks


class ProjectedSubscriptions(NamedTuple):
    """The rows of subscriptions with a snapshot, and what is missing.

    ``missing`` are the subscriptions that a checkout stands in for because no snapshot came.
    """

    rows: list[SubscriptionRow]
    missing: frozenset[str]


def project_subscriptions(
    sources: Iterable[SubscriptionSource],
    ownership: Ownership,
    context: SubscriptionContext,
    grants: GrantCollector,
) -> ProjectedSubscriptions:
    """Return a row for every subscription with a snapshot, and collect the grants of all."""
    matched, lookup, clocks = context
    rows, missing = [], []
    for source in sources:
        owner = ownership.of_subscription(source.id)
        runs = source.snapshot.item_runs if source.snapshot else ()
        plans = plans_of_runs(runs, lookup)
        decision = _decide(source, plans, lookup, clocks.now_of(source.customer_id))
        if decision is None:
            continue
        if over := end_by_policy(source, plans, matched, lookup):
            decision = _ended(decision, over)
        grants.add(owner, source.id, _plan_grants(source, plans, decision, lookup))
        if source.snapshot:
            rows.append(_row(grants, source, source.snapshot, owner.user_id))
        if decision.by_checkout:
            missing.append(source.id)
    return ProjectedSubscriptions(rows, frozenset(missing))


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


class _Decision(NamedTuple):
    """The present access, and the event that decides it."""

    given: list[PlanAccess]
    event_id: EventId
    guessed: bool
    by_checkout: bool


def _decide(
    source: SubscriptionSource, plans: Sequence[RunPlans], lookup: PlanLookup, now: datetime
) -> _Decision | None:
    """Return what the snapshot gives, unless the paid checkout speaks; None without either."""
    snapshot, checkout = source.snapshot, source.checkout
    policy = lookup.catalogue.policy
    given = access_by_snapshot(source, snapshot, plans, policy, now) if snapshot else []
    if checkout and not (snapshot and _silences(snapshot, given, checkout)):
        given = _by_checkout(source, checkout, plans, lookup, now)
        event_id = checkout.granted.newest.event_id
        return _Decision(given, event_id, guessed=False, by_checkout=True)
    if snapshot is None:
        return None
    if not snapshot.ended:
        for name, why in plans[snapshot.present_run].without_grant:
            lookup.note(name, why)
    return _Decision(given, snapshot.newest.event_id, snapshot.guessed, by_checkout=False)


def _silences(
    snapshot: SubscriptionState, given: Iterable[PlanAccess], checkout: PaidCheckout
) -> bool:
    """Return True if the snapshot is not older, has ended, or gives access or grace."""
    return (
        snapshot.ended
        or snapshot.newest.fields.status in SUBSCRIPTION_GRANTS
        or snapshot.newest.at >= checkout.granted.since
        or any(each.access.active for each in given)
    )


def _ended(decision: _Decision, over: PeriodEnd) -> _Decision:
    """Return the decision with everything ended that it would give."""
    if not any(each.access.active for each in decision.given):
        return decision
    access = Access(active=False, expires_at=over.moment.at, because=over.because)
    given = [PlanAccess(held, access if was.active else was) for held, was in decision.given]
    return decision._replace(given=given, event_id=over.moment.event_id)


def _plan_grants(
    source: SubscriptionSource, plans: Sequence[RunPlans], decision: _Decision, lookup: PlanLookup
) -> list[PlanGrant]:
    """Return the present grants, and inactive ones for the plans of the past."""
    present = {each.held.plan.code: each for each in decision.given}
    starts = _starts(source, plans, lookup)
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
            event_id=decision.event_id,
            because=access.because,
            guessed=decision.guessed,
            per_seat=held.plan.summed_features,
            resumes_at=access.resumes_at,
        )
        for code, (held, access) in (past | present).items()
    ]


def _starts(
    source: SubscriptionSource, plans: Sequence[RunPlans], lookup: PlanLookup
) -> PlanStarts:
    """Return every plan the subscription was ever on, with the first time of each."""
    stated: PlanStarts = {}
    runs = source.snapshot.item_runs if source.snapshot else ()
    for run, run_plans in zip(runs, plans, strict=True):
        for held in run_plans.held:
            since = stated[held.plan.code][1] if held.plan.code in stated else run.at
            stated[held.plan.code] = held, min(since, run.at)
    if source.checkout:
        begun = source.checkout.granted.since
        for held in _begun(source, source.checkout, lookup):
            known, since = stated.get(held.plan.code, (held, begun))
            stated[held.plan.code] = known, min(since, begun)
    return stated


def _begun(
    source: SubscriptionSource, checkout: PaidCheckout, lookup: PlanLookup
) -> Iterator[HeldPlan]:
    """Yield the plans that its checkout ever named, the lines first."""
    yield from plans_of_lines(lines_begun(source, checkout), lookup)
    for plan_reference in checkout.session.plan_references:
        for plan in lookup.plans_named_by(plan_reference):
            yield HeldPlan(plan, 1)


def _former_starts(source: SubscriptionSource, lookup: PlanLookup) -> PlanStarts:
    """Return the same for the former catalogues; the newest that has a plan decides its features.

    A plan that the present catalogue still has is returned in its present form.
    """
    found: PlanStarts = {}
    runs = source.snapshot.item_runs if source.snapshot else ()
    for former in reversed(list(lookup.former_lookups())):
        for code, (held, since) in _starts(source, plans_of_runs(runs, former), former).items():
            first = min(since, found[code][1]) if code in found else since
            found[code] = held._replace(plan=lookup.in_present_form(held.plan)), first
    return found


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
    source: SubscriptionSource,
    checkout: PaidCheckout,
    plans: Sequence[RunPlans],
    lookup: PlanLookup,
    now: datetime,
) -> list[PlanAccess]:
    """Return access by a paid checkout: at once, and for three days without a snapshot."""
    until = checkout.granted.since + PROVISIONAL_ACCESS
    waits = f"no snapshot of subscription {source.id} has come since"
    access = Access(
        active=now < until,
        expires_at=until,
        because=f"Checkout {checkout.session.id} is complete; {waits}.",
    )
    held = plans[source.snapshot.present_run].held if source.snapshot else ()
    if not held:
        held = plans_begun(source, checkout, lookup)
    return [PlanAccess(each, access) for each in held]
