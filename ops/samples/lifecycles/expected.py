"""The rows that a lifecycle must leave in the database, in any order of delivery.

They come from the truth of its world, and what was granted before from the truth of its past.
"""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field

from ops.samples.sample_plans import PLANS
from ops.samples.worlds.account import StripeAccount
from ops.samples.worlds.records import Charge, Customer, Session
from ops.samples.worlds.truth.end import STRIPE, End, end_of
from ops.samples.worlds.truth.shop import Shop, TrueGrant

_SHOP = Shop(document=PLANS)


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


def expected_end(account: StripeAccount, user: str) -> Expected:
    """Return the rows that the events of an account must lead to, all of them about one user."""
    end = end_of(account, _SHOP, account.at)
    return Expected(
        user_id=user,
        customer_id=next((each.id for each in account.of(Customer)), None),
        grants=tuple(_grants(account, end)),
        payments=tuple(_payments(account, end)),
        subscriptions=end.statuses,
        purchases=dict(_purchases(account)),
    )


def _grants(account: StripeAccount, end: End) -> Iterator[ExpectedGrant]:
    """Yield what is granted, and what was at some moment: a grant that ended keeps its row."""
    granted: dict[tuple[str, str], TrueGrant] = {}
    for at in sorted({heard.at for heard in account.heard}):
        past = copy(account)
        past.heard = [heard for heard in account.heard if heard.at <= at]
        granted |= {(each.source, each.plan): each for each in end_of(past, _SHOP, at).grants}
    now = {(each.source, each.plan): each for each in end.grants}
    for key, grant in (granted | now).items():
        yield ExpectedGrant(
            source=grant.source,
            plan_code=None if grant.plan == STRIPE else grant.plan,
            features=grant.features,
            active=key in now,
        )


def _payments(account: StripeAccount, end: End) -> Iterator[ExpectedPayment]:
    for money in end.money:
        yield ExpectedPayment(
            payment_ref=money.ref,
            amount_minor=money.received,
            amount_refunded_minor=money.refunded,
            currency=money.currency,
            dispute_status=money.dispute,
        )
    for charge in account.of(Charge):
        if charge.status == "failed" and charge.intent is None:
            # Without a payment intent to belong to, a declined charge is a payment of its own.
            yield ExpectedPayment(payment_ref=charge.id, amount_minor=0, status="failed")


def _purchases(account: StripeAccount) -> Iterator[tuple[str, str]]:
    for session in account.of(Session):
        if session.mode == "payment":
            status = "paid" if session.payment_status == "paid" else session.status
            yield session.intent or session.id, status
