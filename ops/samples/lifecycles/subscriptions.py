"""Lifecycles of subscriptions, played by the simulator's steps."""

from dataclasses import replace
from typing import Final

from ops.samples.sample_plans import MONTHLY, TEAM
from ops.samples.scenario import DAY
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.records import Customer, FeatureList, Subscription
from ops.samples.worlds.steps import billing, people, subscribing
from ops.samples.worlds.steps.subscribing import Names

LISTED_BY_STRIPE: Final = ("exports", "priority_support")
"""Feature lookup keys in the sample entitlement summaries; no plan grants them."""


def first_paid(account: StripeAccount, user: str) -> None:
    """Start a subscription with its first invoice paid."""
    _subscribe(account, user)


def renewal(account: StripeAccount, user: str) -> None:
    """Start two further periods, each paid an hour after its start."""
    held = _subscribe(account, user)
    subscribing.renew(account, held)
    subscribing.renew(account, held)


def trial_active(account: StripeAccount, user: str) -> None:
    """Let a free trial become a paid subscription."""
    held = _subscribe(account, user, trial=14 * DAY)
    account.at = held.items[0].end - 3 * DAY
    account.emit("customer.subscription.trial_will_end", held)
    subscribing.renew(account, held)


def cancel_at_period_end(account: StripeAccount, user: str) -> None:
    """Cancel, and keep access until the period ends."""
    held = _subscribe(account, user)
    account.wait(18 * DAY)
    held = subscribing.cancel_at_period_end(account, held)
    account.at = held.items[0].end
    subscribing.cancel(account, held, wait=0)


def past_due_recovered(account: StripeAccount, user: str) -> None:
    """Decline a renewal, which makes the subscription past due, and pay it later."""
    held = _subscribe(account, user)
    held = subscribing.renew(account, held, outcome="failed")
    account.wait(4 * DAY)
    subscribing.recover(account, held)


def upgrade(account: StripeAccount, user: str) -> None:
    """Change to three seats of another plan, with the difference paid."""
    held = _subscribe(account, user)
    account.wait(10 * DAY)
    former = held.items[0]
    item = replace(former, offer=TEAM, quantity=3)
    held = subscribing.change_items(account, held, [item])
    lines = [
        billing.proration_line(account, held, former, -former.offer.amount // 2),
        billing.proration_line(account, held, item, 3 * TEAM.amount),
    ]
    subscribing.bill_difference(account, held, lines)


def same_second(account: StripeAccount, user: str) -> None:
    """Do everything from the first invoice to the third change within one second."""
    held = _subscribe(account, user, within=0)
    held = account.change(subscribing.UPDATED, held, description="Ordered by chance")
    account.change(subscribing.UPDATED, held, metadata={**held.metadata, "seats": "1"})


def entitlement_summary(account: StripeAccount, user: str) -> None:
    """Have Stripe itself list the customer's features, first one and then two."""
    customer = account.get(Customer, _subscribe(account, user).customer)
    account.keep(FeatureList(customer=customer.id, keys=()))
    people.list_features(account, customer, LISTED_BY_STRIPE[:1])
    account.wait(8 * DAY)
    people.list_features(account, customer, LISTED_BY_STRIPE)


def _subscribe(
    account: StripeAccount, user: str, *, trial: int = 0, within: int = 2
) -> Subscription:
    stated = {"user_id": user}
    return subscribing.subscribe(
        account,
        people.arrive(account, metadata=stated),
        [(MONTHLY, 1)],
        metadata=stated,
        checkout=Names(reference=user, metadata={**stated, "price_id": MONTHLY.price}),
        trial=trial,
        within=within,
    )
