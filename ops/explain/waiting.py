"""What a user has that gives nothing yet, or never will, and what it waits for. Pure."""

from collections.abc import Iterator

from billing.ids import ObjectKey, Realm, object_key, realm_in
from billing.readers.registry import IgnoredBecause
from billing.rows import PurchaseRow, PurchaseStatus
from billing.statuses import SUBSCRIPTION_ENDED
from ops.queries.ineffective_events import Unheeded
from ops.queries.user_state import Standing

_IN_NO_PLAN = ", which is in no plan and gives nothing until `paidup plans apply` knows it."


def failed(standing: Standing) -> Iterator[str]:
    """Purchases that came to nothing."""
    for purchase in standing.purchases:
        if purchase.status in {PurchaseStatus.EXPIRED, PurchaseStatus.FAILED}:
            yield _unpaid(standing, purchase)


def without_effect(standing: Standing) -> Iterator[str]:
    """Events that name the user, and what keeps each from having any effect."""
    for each in standing.unheeded:
        named = f"Event {each.event_id} ({each.type}) names this user and"
        if each.failed:
            told = f"`paidup dead show {each.event_id}`"
            yield f"{named} could not be applied: {each.why}; {told} says more."
        else:
            yield f"{named} was ignored: {_why_ignored(each)}."


def _why_ignored(each: Unheeded) -> str:
    return {
        IgnoredBecause.WRONG_MODE.value: f"it is of {each.realm}, which PAIDUP_LIVEMODE leaves out",
        IgnoredBecause.UNKNOWN_ACCOUNT.value: (
            f"it is of {each.realm}, an account that is not in PAIDUP_CONNECT_ACCOUNTS"
        ),
    }.get(each.why, "an operator discarded its dead letter")


def _by(standing: Standing, realm: Realm, *ids: str | None) -> str:
    """The newest event that speaks of one of these."""
    keys = (object_key(realm, each) for each in ids if each)
    found = next((standing.newest[key] for key in keys if key in standing.newest), None)
    return f" ({found})" if found else ""


def _unpaid(standing: Standing, purchase: PurchaseRow) -> str:
    words = {
        PurchaseStatus.PENDING: "its payment has not succeeded yet",
        PurchaseStatus.EXPIRED: "its checkout expired before it was paid",
        PurchaseStatus.FAILED: "its payment failed",
    }
    plan = f" of plan {purchase.plan_code}" if purchase.plan_code else ""
    by = _by(standing, purchase.realm, purchase.purchase_ref)
    return f"Purchase {purchase.purchase_ref}{plan} gives nothing: {words[purchase.status]}{by}."


def waiting(standing: Standing) -> Iterator[str]:
    """What would give access, or is money, and lacks something."""
    unknown = frozenset[str]().union(*(note.unknown_prices for note in standing.notes))
    yield from _unsold(standing, unknown)
    for purchase in standing.purchases:
        if purchase.status is PurchaseStatus.PENDING:
            yield _unpaid(standing, purchase)
    for note in standing.notes:
        if note.waiting:
            newest = standing.newest.get(ObjectKey(note.party))
            by = f" ({newest})" if newest else ""
            yield (
                f"With {note.party} came something that would give access, or is money, and that"
                f" names no user yet: it waits for metadata.user_id{by}."
            )
        for subscription in sorted(note.missing_subscriptions):
            by = _by(standing, realm_in(ObjectKey(note.party)), subscription)
            yield (
                f"No snapshot of subscription {subscription} has come: a checkout speaks for it{by}"
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
                by = _by(standing, subscription.realm, subscription.stripe_subscription_id)
                yield f"{named} ({subscription.status}) is sold at {price}{by}{_IN_NO_PLAN}"
    for purchase in standing.purchases:
        if purchase.status is PurchaseStatus.PAID and purchase.plan_code is None:
            told.add(purchase.price or "")
            named = f"Purchase {purchase.purchase_ref}"
            price = f"at {purchase.price}" if purchase.price else "under no price that is known"
            by = _by(standing, purchase.realm, purchase.purchase_ref)
            yield f"{named} is paid and was sold {price}{by}{_IN_NO_PLAN}"
    yield from (f"Something was sold at {price}{_IN_NO_PLAN}" for price in sorted(unknown - told))
