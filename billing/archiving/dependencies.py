"""The dependencies of archived payments: all that they share with what is loaded.

A payment's rows follow from its own objects and from what all payments of its customer share: the
users named under the customer, the subscriptions with their owners and plans, what a person said.
Each of these is a dependency with a value. While all values are what they were when a payment was
archived, neither its rows nor those of the others can have changed, so nothing archived need be
loaded. A value that changed, or a dependency that is gone, means that all must be loaded.

Values are digests: they are stored with the party and only compared.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

from billing.objects.lines import bills_an_item
from billing.objects.store import RealmObjects
from billing.objects.subscriptions import SoldItem, SubscriptionState
from billing.projection.ownership import CustomerUsers, SourceOwner
from billing.projection.party import ProjectedRealm
from billing.projection.subscription_plans import plans_of_runs
from billing.projection.subscription_refunds import money_may_end, newest_paid_period
from billing.projection.subscription_sources import sources_of
from billing.rows import IN_NO_PLAN, NoGrant

Dependencies = Mapping[str, str]
"""The value of each dependency of a party by name."""

PASSES: Final = "passes"
"""Plans that last some days, bought before the newest archived payment: each may prolong others."""

CLOCK: Final = "clock"
"""True if a test clock moves the time of anything, so that nothing is ever past."""

OF_NAMES: Final = frozenset({*IN_NO_PLAN, NoGrant.EMPTY_PLAN, NoGrant.NOTHING})
"""Reasons that are noted of a price or plan, which archived payments may name as well.

Any other is noted of one payment or line.
"""

_PERIOD: Final = "period"
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def dependencies_of(realms: Iterable[ProjectedRealm], until: datetime) -> dict[str, str]:
    """Return the dependencies of a party; ``until`` is the newest moment of what is archived."""
    return {
        f"{realm.objects.realm} {name}": value
        for realm in realms
        for name, value in _dependencies(realm, until)
    }


def still_hold(before: Dependencies, after: Dependencies) -> bool:
    """Return True if nothing archived can have changed, nor anything through what is archived."""
    return all(name in after and _holds(name, value, after[name]) for name, value in before.items())


def passes_in(dependencies: Dependencies) -> Dependencies:
    """Return those that concern plans that last some days, one of each realm."""
    return {name: value for name, value in dependencies.items() if name.endswith(f" {PASSES}")}


def _holds(name: str, before: str, after: str) -> bool:
    # A later paid period takes the place of an earlier one, and no archived one can be later.
    return after >= before if f" {_PERIOD} " in name else after == before


def _dependencies(realm: ProjectedRealm, until: datetime) -> Iterator[tuple[str, str]]:
    objects, ownership = realm.objects, realm.ownership
    yield CLOCK, str(has_clock(objects))
    with_access = {each.customer_id for each in objects.subscriptions.values()}
    with_access |= {each.customer_id for each in objects.summaries.values()}
    for row in realm.projection.customers.values():
        customer_id = row.stripe_customer_id
        users = _of_users(ownership.customer_users(customer_id))
        yield f"customer {customer_id}", _digest(users, customer_id in with_access)
    yield from _of_subscriptions(realm, until)
    for name, why in realm.projection.without_grant.items():
        if why in OF_NAMES:
            yield f"note {name}", why
    yield PASSES, _digest(_passes(realm, until))


def has_clock(objects: RealmObjects) -> bool:
    """Return True if anything lives in the time of a test clock."""
    return (
        any(each.clocked for each in objects.customers.values())
        or any(each.clocked for each in objects.subscriptions.values())
        or any(each.clocked for each in objects.invoices.values())
    )


def _began_at(state: SubscriptionState) -> datetime:
    return state.newest.fields.started_at or state.item_runs[0].at


def _of_users(users: CustomerUsers) -> object:
    return users.user_id, users.moves, users.named_first, sorted(users.all_time)


def _of_subscriptions(realm: ProjectedRealm, until: datetime) -> Iterator[tuple[str, str]]:
    billed, subscriptions = _names_billed(realm), realm.objects.subscriptions
    with_invoice = {each.subscription for each in realm.objects.invoices.values()}
    begun = [name for name, state in subscriptions.items() if _began_at(state) <= until]
    # One that becomes known later may have stood for a plan that an archived payment names.
    yield "subscriptions", _digest(sorted(begun))
    for name, state in subscriptions.items():
        owner = realm.ownership.of_subscription(name)
        checkouts = _of_checkouts(realm, name)
        stated = (_of_owner(owner), _of_plans(state, until), sorted(billed[name]), checkouts)
        yield f"subscription {name}", _digest(*stated, name in with_invoice)
    if money_may_end(realm.lookup.catalogue.policy):
        yield from _periods(realm)


def _of_owner(owner: SourceOwner) -> object:
    return owner.user_id, owner.candidates, sorted(owner.all_time)


def _of_checkouts(realm: ProjectedRealm, subscription: str) -> object:
    """Return the checkouts of a subscription, with the bill from which one reads what it began.

    One that names no invoice reads it from the first that was paid.
    """
    checkouts = realm.ownership.checkouts_of(subscription)
    paid = [
        (each.granted.since, each.id)
        for each in realm.ownership.invoices_of(subscription)
        if each.granted and not all(checkout.invoice for checkout in checkouts)
    ]
    named = sorted((each.id, each.invoice or "", each.granted is None) for each in checkouts)
    return named, min(paid, default=None)


def _of_plans(state: SubscriptionState, until: datetime) -> object:
    """Return what decides for which plans it stands, and when, as far as that is before ``until``.

    A quantity is of no account, unless nothing is sold.
    """
    fields = state.newest.fields
    ended_at = (fields.ended_at or state.newest.at) if state.ended else None
    runs: list[tuple[object, ...]] = []
    for run in state.item_runs:
        held = ([_of_item(item) for item in run.items], run.plan_code)
        if not runs or runs[-1][1:] != held:
            runs.append((_if_before(run.at, until), *held))
    present = state.item_runs[state.present_run]
    return (
        runs,
        [_of_item(item) for item in present.items],
        _if_before(_began_at(state), until),
        _if_before(ended_at, until),
    )


def _if_before(at: datetime | None, until: datetime) -> datetime | None:
    return at if at and at <= until else None


def _of_item(item: SoldItem) -> object:
    return item.id, item.names, item.quantity == 0


def _names_billed(realm: ProjectedRealm) -> Mapping[str, set[str]]:
    """Return the names of what invoices bill for the items of each subscription."""
    found: dict[str, set[str]] = defaultdict(set)
    for invoice in realm.objects.invoices.values():
        for line in invoice.lines.lines:
            subscription = line.subscription or invoice.subscription
            if subscription and bills_an_item(line):
                found[subscription].add(repr(line.names))
    return found


def _periods(realm: ProjectedRealm) -> Iterator[tuple[str, str]]:
    for source in sources_of(realm.objects, realm.ownership):
        runs = source.snapshot.item_runs if source.snapshot else ()
        plans = plans_of_runs(runs, realm.lookup)
        ends_at, invoice = newest_paid_period(source, plans, realm.matched, realm.lookup)
        yield f"{_PERIOD} {source.id}", f"{ends_at.isoformat()} {invoice}"


def _passes(realm: ProjectedRealm, until: datetime) -> object:
    return sorted(
        (purchase.ref, line.line, purchase.paid_at)
        for purchase in realm.bought
        for line in purchase.lines
        if line.sold.plan and line.sold.plan.lasts_days is not None
        if purchase.paid_at and purchase.paid_at <= until
    )


def _digest(*values: object) -> str:
    return blake2b(repr(values).encode(), digest_size=9).hexdigest()
