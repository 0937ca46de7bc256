"""What would end access that is in force, by the kind of its source and by policy. Pure."""

from collections.abc import Iterator

from billing.catalogue import Disposition, Policy
from billing.projection.stripe_entitlements import STRIPE_PLAN
from billing.rows import EntitlementRow
from billing.statuses import PAST_DUE, SUBSCRIPTION_GRANTS
from ops.queries.user_state import Grant, Standing
from ops.terminal.formats import stamp


def kind_of(row: EntitlementRow) -> str:
    """What the source is: a subscription, a purchase, or a customer with Stripe's own features."""
    if row.plan_code == STRIPE_PLAN:
        return "customer"
    return "subscription" if row.source.startswith("sub_") else "purchase"


def ends(standing: Standing, grant: Grant) -> Iterator[str]:
    """Each thing that would take away what is in force."""
    row = grant.row
    if row.expires_at:
        yield f"time: it ends at {stamp(row.expires_at)} unless Stripe says otherwise before"
    match kind_of(row):
        case "customer":
            yield f"Stripe no longer listing the feature for customer {row.source}"
        case "subscription":
            yield from _ends_of_subscription(standing, grant)
        case _:
            yield from _ends_of_purchase(standing.catalogue.policy)


def _ends_of_subscription(standing: Standing, grant: Grant) -> Iterator[str]:
    source = grant.row.source
    mine = [s for s in standing.subscriptions if s.stripe_subscription_id == source]
    plan = standing.catalogue.plan_coded(grant.row.plan_code)
    granting = " or ".join(sorted(SUBSCRIPTION_GRANTS))
    if not mine:
        yield f"no snapshot of subscription {source} coming in time, or one that is not {granting}"
    elif mine[0].status == PAST_DUE:
        yield "its bill staying unpaid, or the subscription being canceled, paused or unpaid"
    else:
        grace = plan.grace_days if plan else 0
        late = f" (past_due: after {grace} days of grace)" if grace else ""
        yield f"a status other than {granting}{late}"
    yield "its items no longer standing for this plan"


def _ends_of_purchase(policy: Policy) -> Iterator[str]:
    by_policy = {
        "a full refund": policy.refund_full,
        "a partial refund": policy.refund_partial,
        "an open dispute": policy.dispute_open,
        "a lost dispute": policy.dispute_lost,
    }
    ending = [what for what, then in by_policy.items() if then is Disposition.END]
    yield " or ".join(ending) if ending else "nothing that happens to its payment"
