"""Grants of people: a source beside subscriptions and purchases that nothing of Stripe can end."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from billing.catalogue import Plan
from billing.ids import PlanCode, UserId
from billing.objects.operator_grants import GrantState
from billing.objects.store import RealmObjects
from billing.projection.grants import GrantCollector, PlanGrant
from billing.projection.ownership import SourceOwner
from billing.projection.plan_lookup import PlanLookup

FEATURES_PLAN: Final = PlanCode("grant")
"""The plan code of features that a person gave without a plan."""


def project_operator_grants(
    objects: RealmObjects, lookup: PlanLookup, now: datetime, grants: GrantCollector
) -> None:
    """Collect what people gave.

    A plan gives what the catalogue says now. One that the catalogue has no longer gives what it
    gave when the grant was made.
    """
    for each in objects.operator_grants.values():
        user_id = UserId(each.fields.user_id)
        owner = SourceOwner(user_id, all_time=frozenset([user_id]))
        plan = lookup.catalogue.plan_by_code(each.fields.plan_code)
        grants.add(owner, each.id, [_plan_grant(each, plan, now)])


def _plan_grant(grant: GrantState, plan: Plan | None, now: datetime) -> PlanGrant:
    given = grant.fields
    features: Mapping[str, Any] = plan.features_for(1) if plan else dict(given.features)
    starts_later = given.starts_at > now and not given.ended_at
    return PlanGrant(
        plan_code=PlanCode(given.plan_code) if given.plan_code else FEATURES_PLAN,
        features=features,
        active=grant.holds_at(now),
        starts_at=given.starts_at,
        expires_at=grant.ends_at,
        event_id=grant.event_id,
        because=_because(grant, now),
        per_seat=plan.summed_features if plan else given.per_seat,
        resumes_at=given.starts_at if starts_later else None,
    )


def _because(grant: GrantState, now: datetime) -> str:
    given = grant.fields
    if given.ended_at:
        return f"{given.actor} ended this grant: {given.reason}"
    if given.until and given.until <= now:
        return f"This grant has ended, as {given.actor} said when giving it: {given.reason}"
    return f"{given.actor} gave this: {given.reason}"
