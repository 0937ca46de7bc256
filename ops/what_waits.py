"""What a user has that gives nothing yet, or never will, and what it waits for. Pure."""

from collections.abc import Iterator

from billing.rows import PurchaseRow, PurchaseStatus
from billing.words import SUBSCRIPTION_ENDED
from ops.queries.standing import Standing

_IN_NO_PLAN = ", which is in no plan and gives nothing until `paidup plans apply` knows it."


def failed(standing: Standing) -> Iterator[str]:
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


def waiting(standing: Standing) -> Iterator[str]:
    """What would give access, or is money, and lacks something."""
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
