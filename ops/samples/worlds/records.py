"""The objects of a simulated Stripe account, in one shape; ``rendering.py`` prints each API's.

A record never changes: a step replaces it. So what an event showed can be kept beside what is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ops.samples.emails import email_of
from ops.samples.scenario import DAY
from ops.samples.worlds.offers import StripePrice

Metadata = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer; ``deleted`` once it is gone."""

    id: str
    created: int
    metadata: Metadata = field(default_factory=dict)
    test_clock: str | None = None
    deleted: bool = False

    @property
    def customer(self) -> str:
        """Its own id, as other records name theirs."""
        return self.id

    @property
    def email(self) -> str:
        """The address of its user, else one of its own."""
        return email_of(self.metadata.get("user_id", self.id))


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionItem:
    """One price of a subscription; metered prices have no quantity."""

    id: str
    offer: StripePrice
    quantity: int | None
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscription; ``paused`` is Stripe's ``pause_collection``."""

    id: str
    customer: str
    created: int
    status: str
    items: tuple[SubscriptionItem, ...]
    metadata: Metadata = field(default_factory=dict)
    latest_invoice: str | None = None
    cancel_at: int | None = None
    cancel_at_period_end: bool = False
    canceled_at: int | None = None
    ended_at: int | None = None
    trial_end: int | None = None
    paused: bool = False
    resumes_at: int | None = None
    test_clock: str | None = None
    description: str | None = None
    schedule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """One line of an invoice: a period of a subscription's item, or an invoice item."""

    id: str
    offer: StripePrice
    amount: int
    quantity: int = 1
    start: int
    end: int
    invoice_item: str | None = None
    subscription: str | None = None
    item: str | None = None
    """The subscription's item that it bills, if it bills one."""
    proration: bool = False
    discount: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """An invoice and the payment that Stripe made for it."""

    id: str
    customer: str
    created: int
    status: str
    lines: tuple[InvoiceLine, ...]
    reason: str
    subscription: str | None = None
    metadata: Metadata = field(default_factory=dict)
    copied: Metadata = field(default_factory=dict)
    """The subscription's metadata when the invoice was made."""
    balance: int = 0
    """The part that the customer's balance pays."""
    amount_paid: int = 0
    finalized_at: int | None = None
    due_at: int | None = None
    """Set if it is sent, to be paid by then, and not charged."""
    paid_at: int | None = None
    intent: str | None = None
    charge: str | None = None
    out_of_band: bool = False
    attempts: int = 0
    email: str | None = None
    test_clock: str | None = None

    @property
    def total(self) -> int:
        """The amount billed, after discounts."""
        return sum(line.amount - line.discount for line in self.lines)

    @property
    def next_attempt_at(self) -> int | None:
        """The second in which Stripe collects it, or tries again."""
        waits = self.status in ("draft", "open") and self.due_at is None
        return self.created + 3600 + self.attempts * 3 * DAY if waits else None

    @property
    def due(self) -> int:
        """The amount to be paid in money."""
        return max(self.total - self.balance, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A payment intent; ``failed_charge`` is the attempt that its last error names."""

    id: str
    customer: str | None
    created: int
    status: str
    amount: int
    currency: str = "usd"
    received: int = 0
    capturable: int = 0
    capture_method: str = "automatic"
    metadata: Metadata = field(default_factory=dict)
    invoice: str | None = None
    latest_charge: str | None = None
    failed_charge: str | None = None

    @property
    def payment_method(self) -> str | None:
        """The card or account of its newest attempt, unless it needs another."""
        if self.latest_charge is None or self.status == "requires_payment_method":
            return None
        return f"pm_{self.latest_charge[3:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One attempt; ``refunds`` are those that its running total contains."""

    id: str
    customer: str | None
    created: int
    status: str
    amount: int
    currency: str = "usd"
    captured: bool = True
    amount_captured: int = 0
    released: int = 0
    refunds: tuple["Refund", ...] = ()
    intent: str | None = None
    invoice: str | None = None
    metadata: Metadata = field(default_factory=dict)
    dispute: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund of a charge."""

    id: str
    charge: str
    intent: str | None
    created: int
    amount: int
    status: str
    currency: str = "usd"
    receipt_number: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """One dispute of a charge, over the whole of it or a part."""

    id: str
    charge: str
    intent: str | None
    created: int
    amount: int
    status: str
    currency: str = "usd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A checkout session that ended."""

    id: str
    created: int
    mode: str
    status: str
    payment_status: str
    amount: int
    customer: str | None = None
    currency: str = "usd"
    reference: str | None = None
    metadata: Metadata = field(default_factory=dict)
    intent: str | None = None
    subscription: str | None = None
    invoice: str | None = None
    payment_link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicePayment:
    """The link between an invoice and a payment of it."""

    id: str
    invoice: str
    intent: str
    amount: int
    created: int
    status: str = "paid"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNote:
    """A credit note; ``lines`` are ids of invoice lines with the amount taken off each."""

    id: str
    invoice: str
    customer: str
    created: int
    amount: int
    currency: str = "usd"
    status: str = "issued"
    lines: tuple[tuple[str, int], ...] = ()
    refund: str | None = None
    refund_amount: int = 0
    out_of_band: int = 0
    balance: int = 0
    voided_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureList:
    """Stripe's own list of a customer's features; its event shows the first ten."""

    customer: str
    keys: tuple[str, ...]

    @property
    def id(self) -> str:
        """A key for it, which has no id at Stripe."""
        return f"features/{self.customer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """An object that Paidup does not read, as a dictionary."""

    id: str
    raw: Mapping[str, object]


Record = (
    Customer
    | Subscription
    | Invoice
    | Intent
    | Charge
    | Refund
    | Dispute
    | Session
    | InvoicePayment
    | CreditNote
    | FeatureList
    | Noise
)
