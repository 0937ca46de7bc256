"""Stripe's own entitlements: a source beside subscriptions and purchases, keyed by customer."""

from billing.ids import PlanCode
from billing.objects.entitlements import Summary
from billing.objects.store import Objects
from billing.projection.grants import Granted, Verdict
from billing.projection.ownership import Users

STRIPE_PLAN = PlanCode("stripe")
"""The plan code under which Stripe's own features stand."""


def project_summaries(objects: Objects, users: Users, granted: Granted) -> None:
    """Each lookup key that Stripe lists is a feature that is true."""
    for summary in objects.summaries.values():
        if summary.last_known:
            customer_id = summary.customer_id
            user_id = users.of_customer(customer_id)
            ever = users.ever_of_customer(customer_id)
            granted.to(user_id, ever, customer_id, [_verdict(summary)])


def _verdict(summary: Summary) -> Verdict:
    return Verdict(
        plan_code=STRIPE_PLAN,
        features=dict.fromkeys(summary.lookup_keys or summary.last_known, True),
        active=bool(summary.lookup_keys),
        starts_at=summary.since,
        expires_at=None,
        event_id=summary.state.event_id,
        because=_because(summary),
        guessed=summary.guessed,
    )


def _because(summary: Summary) -> str:
    if not summary.lookup_keys:
        return f"Stripe lists no feature for customer {summary.customer_id} any more."
    cut = "" if summary.complete else ", in a list that was cut off"
    return f"Stripe lists these features for customer {summary.customer_id}{cut}."
