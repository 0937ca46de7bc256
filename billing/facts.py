"""Facts: the statements of one event about one Stripe object, in one shape for every API version.

A fact is an observation, and no later fact corrects it. The state of an object is a pure function
of the set of its facts (``billing/objects/ordering.py``), so order and repetition do not matter.
Amounts are integer minor units, times are aware UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final

from billing.ids import CustomerId, EventId, ObjectKey

Metadata = tuple[tuple[str, str], ...]
"""The whole ``metadata`` of an object, sorted by key."""

GrantedFeatures = tuple[tuple[str, bool | int], ...]
"""Features that a person gave, with their values, sorted by name."""

OBSERVED: Final = ""
"""The event type of a fact that Stripe's API showed: no event states it."""

OBSERVATION_PREFIX: Final = "obs_"
"""The beginning of an API observation's id, which stands where an event's id would."""

API_OBSERVATION: Final = "api_observation"
"""What stands for an event's type where Stripe's API showed what decided."""

FIRST_READER: Final = 1
"""The number of the facts that were written before facts had a number."""

READER_NUMBER: Final = 3
"""The number of the present readers. It grows when they read more than before, or otherwise."""


class Kind(StrEnum):
    """The families of Stripe objects that bear on access or money."""

    CUSTOMER = "customer"
    SUBSCRIPTION = "subscription"
    CHECKOUT_SESSION = "checkout_session"
    PAYMENT_INTENT = "payment_intent"
    CHARGE = "charge"
    REFUND = "refund"
    DISPUTE = "dispute"
    INVOICE = "invoice"
    INVOICE_PAYMENT = "invoice_payment"
    CREDIT_NOTE = "credit_note"
    ENTITLEMENT_SUMMARY = "entitlement_summary"
    LINK = "link"
    """A person's word that an object or a customer is of a user; no object of Stripe."""
    GRANT = "grant"
    """What a person gave a user; no object of Stripe."""


class Rank(IntEnum):
    """The order that event types imply within one second, where nothing else decides it."""

    CREATED = 0
    UPDATED = 1
    PAUSED_OR_RESUMED = 2
    DELETED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFields:
    """A customer; its metadata may name its user."""

    deleted: bool
    metadata: Metadata = ()
    test_clock: str | None = None
    own_created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One price of a subscription; ``id`` is ``si_...``, None before subscriptions had items."""

    price: str | None
    lookup_key: str | None
    product: str | None
    quantity: int
    period_end: datetime | None
    id: str | None = None
    period_start: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of an invoice or of a checkout, with its price names.

    ``amount`` is the amount before discounts and may be negative; ``discount`` is what discounts
    take off it. ``kind`` is ``subscription`` or ``invoiceitem`` on an invoice, and in a checkout
    ``subscription`` for a price that renews, else None. ``quantity`` is None where Stripe states
    none.
    """

    id: str | None
    amount: int
    price: str | None
    lookup_key: str | None
    product: str | None
    quantity: int | None = None
    discount: int = 0
    kind: str | None = None
    proration: bool = False
    invoice_item: str | None = None
    subscription: str | None = None
    subscription_item: str | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None

    @property
    def names(self) -> tuple[str | None, ...]:
        """The names of its price, the most trusted first: price id, lookup key, product id."""
        return (self.price, self.lookup_key, self.product)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionPause:
    """``pause_collection``; ``behavior`` is Stripe's word, None ``resumes_at`` means open end."""

    behavior: str
    resumes_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionFields:
    """A subscription snapshot; ``status`` is Stripe's word, even one that Paidup does not know."""

    status: str
    items: tuple[Item, ...]
    cancel_at: datetime | None
    cancel_at_period_end: bool
    started_at: datetime | None
    ended_at: datetime | None
    trial_end: datetime | None
    metadata: Metadata = ()
    items_complete: bool = True
    """False if the event lists only a part of the items."""
    pause: CollectionPause | None = None
    test_clock: str | None = None
    latest_invoice: str | None = None
    own_created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutSessionFields:
    """A checkout; its metadata or its ``client_reference_id`` may name its user."""

    mode: str
    status: str | None
    payment_status: str
    amount_total: int
    currency: str | None
    payment_link: str | None
    payment_intent: str | None
    subscription: str | None
    invoice: str | None
    metadata: Metadata = ()
    client_reference_id: str | None = None
    lines: tuple[Line, ...] = ()
    lines_complete: bool = False
    """True if the line items are listed, all of them; a webhook never lists any."""
    own_created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentIntentFields:
    """A payment intent; ``failed`` is True if its newest attempt was refused."""

    status: str
    amount: int
    amount_received: int
    currency: str
    failed: bool
    invoice: str | None
    order_reference: str | None
    """``payment_details.order_reference``: an invoice id, possibly cut off."""
    metadata: Metadata = ()
    own_created_at: datetime | None = None
    canceled_at: datetime | None = None
    latest_charge: str | None = None
    manual_capture: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeFields:
    """A charge; ``amount_refunded`` is the running total, never a single refund."""

    status: str
    captured: bool
    amount: int
    amount_captured: int
    amount_refunded: int
    currency: str
    payment_intent: str | None
    invoice: str | None
    metadata: Metadata = ()
    own_created_at: datetime | None = None
    refunded_in_full: bool = False
    """Stripe's flag ``refunded``."""
    order_reference: str | None = None
    captured_assumed: bool = False
    """True if it does not state what was captured, as before September 2020; then it is all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFields:
    """One refund of a charge or of a payment intent."""

    status: str
    amount: int
    currency: str
    charge: str | None
    payment_intent: str | None
    own_created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeFields:
    """One dispute; ``opened_at`` is its own ``created``, which orders disputes of one payment."""

    status: str
    amount: int
    currency: str
    charge: str | None
    payment_intent: str | None
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFields:
    """An invoice. It is money only as far as no payment linked to it covers ``amount_paid``."""

    status: str | None
    amount_paid: int
    currency: str
    subscription: str | None
    payment_refs: tuple[str, ...]
    """The payment intents, charges and payment records it names, by old paths and new."""
    paid_at: datetime | None
    payment_failed: bool
    """True for an ``invoice.payment_failed`` event, which may start a grace period."""
    metadata: Metadata = ()
    subscription_metadata: Metadata = ()
    """The copy of the subscription's metadata on the invoice."""
    lines: tuple[Line, ...] = ()
    lines_complete: bool = True
    """False if the event lists only a part of the lines."""
    total: int | None = None
    """The total after discounts and taxes; negative if the invoice credits more than it bills."""
    amount_due: int | None = None
    paid_out_of_band: bool = False
    billing_reason: str | None = None
    own_created_at: datetime | None = None
    finalized_at: datetime | None = None
    due_at: datetime | None = None
    """Set on an invoice that is sent: the last moment at which it is paid in time."""
    test_clock: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicePaymentFields:
    """The link between an invoice and a payment of it; since basil the only reliable one."""

    status: str
    amount_paid: int
    currency: str
    invoice: str | None
    payment_ref: str | None
    """A payment intent, charge or payment record."""
    own_created_at: datetime | None = None
    paid_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditedLine:
    """One line of a credit note; ``invoice_line`` is the line that it credits, if any."""

    invoice_line: str | None
    amount: int
    """The amount before discounts."""
    quantity: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNoteFields:
    """A credit note of an invoice; ``status`` is ``issued`` or ``void``.

    ``out_of_band_amount`` was given back outside Stripe. What was given back through Stripe is a
    refund of its own, and a credit to the customer's balance is no money.
    """

    status: str
    invoice: str | None
    total: int
    out_of_band_amount: int
    currency: str
    refunds: tuple[str, ...]
    lines: tuple[CreditedLine, ...]
    lines_complete: bool
    own_created_at: datetime | None
    voided_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementSummaryFields:
    """Stripe's own features of a customer; ``complete`` is False if the list was cut off."""

    lookup_keys: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFields:
    """A person's word about the user of an object or of a customer.

    ``target`` is the Stripe id of a subscription, payment intent, charge, invoice, checkout or
    customer. A link that was ended was taken back; it counts as if it had never been made.
    """

    target: str
    user_id: str
    since: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantFields:
    """A grant of a person to a user: a plan, or features alone.

    ``features`` are those stated, or those that the plan had at that time; they count where the
    catalogue has the plan no longer. ``actor`` and ``reason`` are those of the newest statement,
    which may have ended the grant at ``ended_at``.
    """

    user_id: str
    plan_code: str | None
    features: GrantedFeatures
    per_seat: tuple[str, ...] = ()
    starts_at: datetime
    until: datetime | None
    actor: str
    reason: str
    ended_at: datetime | None = None


Fields = (
    CustomerFields
    | SubscriptionFields
    | CheckoutSessionFields
    | PaymentIntentFields
    | ChargeFields
    | RefundFields
    | DisputeFields
    | InvoiceFields
    | InvoicePaymentFields
    | CreditNoteFields
    | EntitlementSummaryFields
    | LinkFields
    | GrantFields
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One observation of one object by one event, or by Stripe's API.

    ``before`` is the same object with the event's ``previous_attributes`` undone, read by the same
    reader; None if the event has none. ``mentions`` names every object in the fact, including
    itself and its customer. Objects that are mentioned together belong to one party.

    ``created_at`` is the time of the observed state. For a snapshot it is the event's own time. For
    what Stripe's API showed it is the second before the API was asked; then ``event_id`` is the id
    of the API observation, ``obs_...``, and ``event_type`` is ``OBSERVED``. A thin event contains
    no object, so its facts are those of the object that was fetched for it. If its type says what
    happened, it has a fact of its own as well, and ``happened_at`` is the event's time. ``reader``
    is the number of the readers that wrote the fact.
    """

    kind: Kind
    object_key: ObjectKey
    event_id: EventId
    event_type: str
    created_at: datetime
    rank: Rank
    fields: Fields
    before: Fields | None
    customer_id: CustomerId | None
    mentions: tuple[ObjectKey, ...]
    happened_at: datetime | None = None
    reader: int = READER_NUMBER

    @property
    def observed(self) -> bool:
        """True if Stripe's API showed it, False if an event stated it."""
        return is_observation(self.event_id)


def is_observation(event_id: str) -> bool:
    """Return True if this is the id of an API observation and not of an event."""
    return event_id.startswith(OBSERVATION_PREFIX)


def metadata_value(metadata: Metadata, key: str) -> str | None:
    """Return the value of one key of an object's metadata."""
    for name, value in metadata:
        if name == key:
            return value
    return None
