"""The rows of a projection: what applications and auditors read, as plain values.

A row follows from facts, catalogue and time alone. Bookkeeping (when it was written, under which
catalogue version) belongs to the ledger.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from billing.ids import CustomerId, EventId, ObjectKey, PaymentRef, PlanCode, Realm, UserId

Key = tuple[str, ...]
"""The primary key of a row within its table."""


class PurchaseStatus(StrEnum):
    """The progress of a one-time purchase; only ``paid`` can grant."""

    PENDING = "pending"
    PAID = "paid"
    EXPIRED = "expired"
    FAILED = "failed"


class PaymentStatus(StrEnum):
    """The progress of a payment; only a failure of the same charge undoes ``succeeded``."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class NoGrant(StrEnum):
    """The reason why something that was paid for grants nothing, the most pressing first.

    The first three are reasons of a price that is in no plan: no catalogue ever had it, only an
    earlier one had it, or a subscription that changed to it keeps what it had.
    """

    UNKNOWN_PRICE = "unknown_price"
    FORMER_PRICE = "former_price"
    KEPT_PRICE = "kept_price"
    EMPTY_PLAN = "empty_plan"
    UNNAMED = "unnamed"
    PART_OF_SUBSCRIPTION = "part_of_subscription"
    BESIDE_SUBSCRIPTION = "beside_subscription"
    NOTHING = "nothing"


IN_NO_PLAN: Final = (NoGrant.UNKNOWN_PRICE, NoGrant.FORMER_PRICE, NoGrant.KEPT_PRICE)
ON_PURPOSE: Final = (NoGrant.PART_OF_SUBSCRIPTION, NoGrant.BESIDE_SUBSCRIPTION, NoGrant.NOTHING)
"""Reasons that need no remedy: the rules or the catalogue mean it so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRow:
    """The user of a customer, by the link that serves facts that name no user."""

    realm: Realm
    stripe_customer_id: CustomerId
    user_id: UserId | None

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key."""
        return (self.realm, self.stripe_customer_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRow:
    """The newest snapshot of a subscription; ``as_of`` is its time at Stripe."""

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
        """The primary key."""
        return (self.realm, self.stripe_subscription_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseRow:
    """One line that was bought; ``line`` is empty where the lines are not known.

    ``purchase_ref`` is the payment intent, else the charge, the invoice, the session. ``ends_at``
    is the end that the line has by itself: that of its pass, or of the period that it is for.
    """

    realm: Realm
    purchase_ref: str
    user_id: UserId | None
    plan_code: PlanCode | None
    price: str | None
    status: PurchaseStatus
    payment_ref: PaymentRef | None
    line: str = ""
    quantity: int = 1
    ends_at: datetime | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key."""
        return (self.realm, self.purchase_ref, self.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRow:
    """One payment, however many events describe it.

    ``inferred`` means that its invoice was matched by customer, amount and time, not by a link.
    ``provisional`` means that an invoice or a session stands in until the payment is known.
    ``occurred_at`` is the second of the money, ``changed_at`` that in which money last went back or
    failed to, and ``refunds`` are second and amount of each part that went back, where they are
    known. These two date the history and are not stored.
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
    changed_at: datetime | None = field(default=None, compare=False)
    refunds: tuple[tuple[datetime, int], ...] = field(default=(), compare=False)

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key."""
        return (self.realm, self.payment_ref)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementRow:
    """The grant of one source to one user under one plan.

    ``event_id`` is the newest deciding fact, and ``because`` explains the decision in a sentence.
    An inactive row keeps the features of its plan. ``guessed`` means that facts of one second could
    not be ordered reliably. ``per_seat`` names the features whose numbers (already multiplied by
    the seats) are summed over the sources of a user.
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
        """The primary key."""
        return (self.user_id, self.source, self.plan_code, self.realm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Everything that follows from the facts of one party at one moment.

    It is complete: delete a row of the party that it does not contain (such as a provisional
    payment that is now covered).
    """

    customers: Mapping[tuple[str, ...], CustomerRow] = field(default_factory=dict)
    subscriptions: Mapping[tuple[str, ...], SubscriptionRow] = field(default_factory=dict)
    purchases: Mapping[tuple[str, ...], PurchaseRow] = field(default_factory=dict)
    payments: Mapping[tuple[str, ...], PaymentRow] = field(default_factory=dict)
    entitlements: Mapping[tuple[str, ...], EntitlementRow] = field(default_factory=dict)
    due_at: datetime | None = None
    """The next moment at which the projection changes without an event."""
    without_grant: Mapping[str, NoGrant] = field(default_factory=dict)
    """What was paid for and grants nothing, with the most pressing reason.

    A price is called by its id, else by another name, a plan by its code, and what names neither by
    the id of its purchase, payment, invoice or line.
    """
    waiting: bool = False
    """True if a grant or money waits until a fact names its user."""
    candidates: Mapping[str, tuple[UserId, ...]] = field(default_factory=dict)
    """Each source and payment that waits, with the users between whom it is undecided."""
    incomplete_summaries: frozenset[CustomerId] = frozenset()
    """Customers whose feature list was cut off and not yet fetched whole."""
    incomplete_items: frozenset[ObjectKey] = frozenset()
    """Subscriptions whose list of items was cut off and not yet fetched whole."""
    incomplete_lines: frozenset[ObjectKey] = frozenset()
    """Paid invoices and credit notes whose list of lines was cut off and not yet fetched whole."""
    missing_subscriptions: frozenset[str] = frozenset()
    """Subscriptions of which no snapshot came: a paid checkout stands in, or only invoices do."""
    undecided: frozenset[ObjectKey] = frozenset()
    """Objects whose state was guessed: nothing could order their facts of one second."""
    without_line_items: frozenset[ObjectKey] = frozenset()
    """Paid checkouts whose line items may differ from what is assumed of them."""
    awaiting_invoice: frozenset[str] = frozenset()
    """Payments that name an invoice that no event has shown, and perhaps a plan."""

    @property
    def unknown_prices(self) -> frozenset[str]:
        """Price ids, else other names, of what was paid for although no plan sells it."""
        return frozenset([name for name, why in self.without_grant.items() if why in IN_NO_PLAN])
