"""The rows that a lifecycle must leave in the database, in any order of delivery."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ops.samples.sample_plans import SamplePrice


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedGrant:
    """One entitlement row; ``plan_code`` is None for features that Stripe itself lists."""

    source: str
    plan_code: str | None
    features: Mapping[str, bool | int]
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedPayment:
    """One payment row, and so the sum of its ``payment_events``."""

    payment_ref: str
    amount_minor: int
    amount_refunded_minor: int = 0
    currency: str = "usd"
    status: str = "succeeded"
    dispute_status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The end of a lifecycle: every active grant and every payment, and no others."""

    user_id: str
    customer_id: str | None
    grants: tuple[ExpectedGrant, ...] = ()
    payments: tuple[ExpectedPayment, ...] = ()
    subscriptions: Mapping[str, str] = field(default_factory=dict)
    """Status by subscription id."""
    purchases: Mapping[str, str] = field(default_factory=dict)
    """Status by ``purchase_ref``."""

    @property
    def features(self) -> Mapping[str, bool | int]:
        """The features at the end; no sample grants one feature from two sources."""
        active = [grant.features for grant in self.grants if grant.active]
        return {name: value for features in active for name, value in features.items()}


def granted(
    offer: SamplePrice, *, source: str, active: bool = True, seats: int = 1
) -> ExpectedGrant:
    """Return the grant of a price while it is in force, under the demo's plans."""
    return ExpectedGrant(
        source=source,
        plan_code=offer.plan_code,
        features=offer.features_for(seats),
        active=active,
    )
