"""Facts: the statements of one event about one Stripe object, in one shape for every API version.

A fact is an observation, and no later fact corrects it. The state of an object is a pure function
of the set of its facts (``billing/objects/ordering.py``), so order and repetition do not matter.
Amounts are integer minor units, times are aware UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

from billing.ids import CustomerId, EventId, ObjectKey


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
    ENTITLEMENT_SUMMARY = "entitlement_summary"


class Rank(IntEnum):
    """The order that event types imply within one second, where nothing else decides it."""

    CREATED = 0
    UPDATED = 1
    PAUSED_OR_RESUMED = 2
    DELETED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFields:
    """A customer; ``user_id`` is its ``metadata.user_id``."""

    user_id: str | None
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One price of a subscription."""

    price: str | None
    lookup_key: str | None
    product: str | None
    quantity: int
    period_end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionFields:
    """A subscription snapshot; ``status`` is Stripe's word, even one that Paidup does not know."""

    status: str
    items: tuple[Item, ...]
    user_id: str | None
    cancel_at: datetime | None
    cancel_at_period_end: bool
    started_at: datetime | None
    ended_at: datetime | None
    trial_end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutSessionFields:
    """A checkout; ``user_id`` is ``client_reference_id``, else ``metadata.user_id``."""

    mode: str
    status: str | None
    payment_status: str
    amount_total: int
    currency: str | None
    user_id: str | None
    line_item_refs: tuple[str, ...]
    """Price ids, lookup keys and product ids of ``line_items``, if the event has them."""
    price_id: str | None
    plan_code: str | None
    payment_link: str | None
    payment_intent: str | None
    subscription: str | None
    invoice: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentIntentFields:
    """A payment intent; ``failed`` is True if its newest attempt was refused."""

    status: str
    amount: int
    amount_received: int
    currency: str
    failed: bool
    user_id: str | None
    price_id: str | None
    plan_code: str | None
    invoice: str | None
    order_reference: str | None
    """``payment_details.order_reference``: an invoice id, possibly cut off."""


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
    user_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundFields:
    """One refund of a charge or of a payment intent."""

    status: str
    amount: int
    currency: str
    charge: str | None
    payment_intent: str | None


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
    line_refs: tuple[str, ...]
    """Price ids, lookup keys and product ids of its lines."""
    user_id: str | None
    """The copy of the subscription's ``metadata.user_id``, else the invoice's own metadata."""
    price_id: str | None
    plan_code: str | None
    paid_at: datetime | None
    payment_failed: bool
    """True for an ``invoice.payment_failed`` event, which may start a grace period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicePaymentFields:
    """The link between an invoice and a payment of it; since basil the only reliable one."""

    status: str
    amount_paid: int
    currency: str
    invoice: str | None
    payment_ref: str | None
    """A payment intent, charge or payment record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementSummaryFields:
    """Stripe's own features of a customer; ``complete`` is False if the list was cut off."""

    lookup_keys: tuple[str, ...]
    complete: bool


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
    | EntitlementSummaryFields
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiObservation:
    """The object of a fact as Stripe's API returned it later, dated by Stripe."""

    at: datetime
    fields: Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One observation of one object by one event.

    ``before`` is the same object with the event's ``previous_attributes`` undone, read by the same
    reader; None if the event has none. ``mentions`` names every object in the fact, including
    itself and its customer. Objects that are mentioned together belong to one party.

    ``created_at`` is the time of the observed state. For a snapshot it is the event's own time. A
    thin event contains no object; its object comes from Stripe's API, and ``created_at`` is the
    time of that response. Then ``happened_at`` is the event's time, if its type says what happened
    at that time. ``api_observation`` is a second observation beside the snapshot's own.
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
    api_observation: ApiObservation | None = None
