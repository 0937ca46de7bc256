"""Causes that would end access in force, by the kind of its source and by policy. Pure."""

from collections.abc import Iterator

from billing.catalogue import Policy, PolicyAction
from billing.projection.stripe_entitlements import STRIPE_PLAN
from billing.rows import EntitlementRow
from billing.statements import GRANT_PREFIX
from billing.statuses import PAST_DUE, SUBSCRIPTION_GRANTS
from ops.queries.user_state import Grant, UserState
from ops.terminal.formats import format_time


def kind_of(row: EntitlementRow) -> str:
    """Return ``subscription``, ``purchase``, ``grant``, or ``customer``: features Stripe lists."""
    if row.plan_code == STRIPE_PLAN:
        return "customer"
    if row.source.startswith(GRANT_PREFIX):
        return "grant"
    return "subscription" if row.source.startswith("sub_") else "purchase"


def list_endings(state: UserState, grant: Grant) -> Iterator[str]:
    """Yield every cause that would end the grant, as words."""
    row = grant.row
    if row.expires_at:
        moves = "" if kind_of(row) == "grant" else ", unless Stripe moves it"
        yield f"the expiry at {format_time(row.expires_at)}{moves}"
    match kind_of(row):
        case "grant":
            yield f"a person: `paidup grants end {row.source} --reason WHY`"
        case "customer":
            yield f"Stripe no longer listing the feature for customer {row.source}"
        case "subscription":
            yield from _ends_of_subscription(state, grant)
        case _:
            yield from _ends_of_purchase(state.catalogue.policy)


def _ends_of_subscription(state: UserState, grant: Grant) -> Iterator[str]:
    source = grant.row.source
    mine = [s for s in state.subscriptions if s.stripe_subscription_id == source]
    plan = state.catalogue.plan_by_code(grant.row.plan_code)
    granting = " or ".join(sorted(SUBSCRIPTION_GRANTS))
    if not mine:
        yield f"no snapshot of subscription {source} in time, or one with a status not {granting}"
    elif mine[0].status == PAST_DUE:
        yield "its invoice staying unpaid, or the subscription being canceled, paused or unpaid"
    else:
        grace = plan.grace_days if plan else 0
        late = f" (past_due: after {grace} days of grace)" if grace else ""
        yield f"a status other than {granting}{late}"
    yield "its items no longer matching this plan"


def _ends_of_purchase(policy: Policy) -> Iterator[str]:
    by_policy = {
        "a full refund": policy.refund_full,
        "a partial refund": policy.refund_partial,
        "an open dispute": policy.dispute_open,
        "a lost dispute": policy.dispute_lost,
    }
    ending = [what for what, then in by_policy.items() if then is PolicyAction.END]
    yield " or ".join(ending) if ending else "nothing: by policy, refunds and disputes keep access"
