"""What a projection says: the rows that applications and auditors read, as plain values.

A row holds nothing but what follows from facts, catalogue and time. Bookkeeping (when it was
written, under which catalogue version) belongs to whoever stores it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from billing.ids import CustomerId, EventId, ObjectKey, PaymentRef, PlanCode, Realm, UserId

Key = tuple[str, ...]
"""What identifies a row among those of its table."""


class PurchaseStatus(StrEnum):
    """How far a one-time purchase has come; only ``paid`` can grant."""

    PENDING = "pending"
    PAID = "paid"
    EXPIRED = "expired"
    FAILED = "failed"


class PaymentStatus(StrEnum):
    """How far a payment has come; ``succeeded`` is never taken back by a late failure."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRow:
    """Whose customer this is, by the link that serves facts without a statement of their own."""

    realm: Realm
    stripe_customer_id: CustomerId
    user_id: UserId | None

    @property
    def key(self) -> tuple[str, ...]:
        """What makes the row one row."""
        return (self.realm, self.stripe_customer_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRow:
    """The newest snapshot of a subscription; ``as_of`` is when Stripe took it."""

    realm: Realm
    stripe_subscription_id: str
    stripe_customer_id: CustomerId | None
    user_id: UserId | None
    status: str
    prices: tuple[str, ...]
    current_period_end: datetime | None
    cancel_at_period_end: bool
    as_of: datetime

    @property
    def key(self) -> tuple[str, ...]:
        """What makes the row one row."""
        return (self.realm, self.stripe_subscription_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseRow:
    """A one-time purchase; ``purchase_ref`` is its payment intent, else its session or invoice."""

    realm: Realm
    purchase_ref: str
    user_id: UserId | None
    plan_code: PlanCode | None
    price: str | None
    status: PurchaseStatus
    payment_ref: PaymentRef | None

    @property
    def key(self) -> tuple[str, ...]:
        """What makes the row one row."""
        return (self.realm, self.purchase_ref)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRow:
    """One payment, however many events speak of it.

    ``inferred`` says that its invoice was found by customer, amount and time, not by a link.
    ``provisional`` says that a bill or a session speaks until the payment itself is known.
    """

    realm: Realm
    payment_ref: PaymentRef
    user_id: UserId | None
    stripe_customer_id: CustomerId | None
    amount_minor: int
    amount_refunded_minor: int
    currency: str
    status: PaymentStatus
    dispute_status: str | None
    invoice_id: str | None
    plan_code: PlanCode | None
    inferred: bool
    provisional: bool
    occurred_at: datetime

    @property
    def key(self) -> tuple[str, ...]:
        """What makes the row one row."""
        return (self.realm, self.payment_ref)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementRow:
    """What one source gives one user under one plan.

    ``event_id`` is the newest fact that decides and ``because`` says in a sentence how. An
    inactive row keeps the features the plan would give. ``guessed`` says that facts of one
    second could not be ordered for certain. ``per_seat`` names the features whose numbers, which
    are multiplied by the seats already, add up over the sources of a user.
    """

    realm: Realm
    user_id: UserId
    source: str
    plan_code: PlanCode
    entitlements: Mapping[str, Any]
    active: bool
    starts_at: datetime
    expires_at: datetime | None
    event_id: EventId
    because: str
    guessed: bool = False
    per_seat: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """What makes the row one row."""
        return (self.user_id, self.source, self.plan_code, self.realm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Everything that follows from the facts of one party at one moment.

    It is whole: a row of the party that is not in it follows from nothing and is to go (a
    provisional payment that was covered, a purchase whose reference became known).
    """

    customers: Mapping[tuple[str, ...], CustomerRow] = field(default_factory=dict)
    subscriptions: Mapping[tuple[str, ...], SubscriptionRow] = field(default_factory=dict)
    purchases: Mapping[tuple[str, ...], PurchaseRow] = field(default_factory=dict)
    payments: Mapping[tuple[str, ...], PaymentRow] = field(default_factory=dict)
    entitlements: Mapping[tuple[str, ...], EntitlementRow] = field(default_factory=dict)
    due_at: datetime | None = None
    """The next moment at which it changes without any event."""
    unknown_prices: frozenset[str] = frozenset()
    """What was paid for and no plan sells: price ids, else whatever named it."""
    waiting: bool = False
    """Whether a fact would grant, or is money, but nobody knows yet whose it is."""
    incomplete_summaries: frozenset[CustomerId] = frozenset()
    """Customers whose feature list was cut off and not yet fetched whole."""
    missing_subscriptions: frozenset[str] = frozenset()
    """Subscriptions that a checkout speaks for because no snapshot of them came."""
    undecided: frozenset[ObjectKey] = frozenset()
    """Objects whose state was guessed: facts of one second that nothing could order."""
    unlisted: frozenset[ObjectKey] = frozenset()
    """Checkouts that are paid for and name no plan; their line items may."""
