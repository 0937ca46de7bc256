"""Stripe's own entitlements: a source beside subscriptions and purchases, keyed by customer."""

from billing.ids import PlanCode
from billing.objects.entitlements import EntitlementSummaryState
from billing.objects.store import RealmObjects
from billing.projection.grants import GrantCollector, PlanGrant
from billing.projection.ownership import Ownership

STRIPE_PLAN = PlanCode("stripe")
"""The plan code of Stripe's own features."""


def project_summaries(objects: RealmObjects, ownership: Ownership, grants: GrantCollector) -> None:
    """Collect the grants of Stripe's summaries: each listed lookup key is a true feature."""
    for summary in objects.summaries.values():
        if summary.last_known:
            customer_id = summary.customer_id
            owner = ownership.of_customer(customer_id, summary.since)
            grants.add(owner, customer_id, [_plan_grant(summary)])


def _plan_grant(summary: EntitlementSummaryState) -> PlanGrant:
    return PlanGrant(
        plan_code=STRIPE_PLAN,
        features=dict.fromkeys(summary.lookup_keys or summary.last_known, True),
        active=bool(summary.lookup_keys),
        starts_at=summary.since,
        expires_at=None,
        event_id=summary.newest.event_id,
        because=_because(summary),
        guessed=summary.guessed,
    )


def _because(summary: EntitlementSummaryState) -> str:
    if not summary.lookup_keys:
        return f"Stripe lists no feature for customer {summary.customer_id} any more."
    cut = "" if summary.complete else ", in a list that was cut off"
    return f"Stripe lists these features for customer {summary.customer_id}{cut}."
