"""Facts: what one event says about one Stripe object, in one shape for every API version.

A fact is an observation. It is never corrected by a later one: the state of an object is a pure
function of the set of its facts (see ``history``), so neither order nor repetition matters.
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
    """What the event type says about order inside one second, when nothing else does."""

    CREATED = 0
    UPDATED = 1
    PAUSED_OR_RESUMED = 2
    DELETED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFields:
    """Who the customer is: ``user_id`` is its ``metadata.user_id``."""

    user_id: str | None
    deleted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One price a subscription runs on."""

    price: str | None
    lookup_key: str | None
    product: str | None
    quantity: int
    period_end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionFields:
    """A subscription snapshot; ``status`` is Stripe's word, known to us or not."""

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
    """Price ids, lookup keys and product ids of ``line_items``, where the event has them."""
    price_id: str | None
    plan_code: str | None
    payment_link: str | None
    payment_intent: str | None
    subscription: str | None
    invoice: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentIntentFields:
    """A payment intent; ``failed`` says that its newest attempt was refused."""

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
    """A bill. It is money only as far as no payment linked to it covers ``amount_paid``."""

    status: str | None
    amount_paid: int
    currency: str
    subscription: str | None
    payment_refs: tuple[str, ...]
    """Payment intents, charges and payment records it names, old paths and new."""
    line_refs: tuple[str, ...]
    """Price ids, lookup keys and product ids of its lines."""
    user_id: str | None
    """The copy of the subscription's ``metadata.user_id``, else the invoice's own metadata."""
    price_id: str | None
    plan_code: str | None
    paid_at: datetime | None
    payment_failed: bool
    """True for the fact of an ``invoice.payment_failed`` event: a grace period may start here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicePaymentFields:
    """The link between an invoice and what paid (part of) it, since basil the only sure one."""

    status: str
    amount_paid: int
    currency: str
    invoice: str | None
    payment_ref: str | None
    """A payment intent, charge or payment record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementSummaryFields:
    """Stripe's own features of a customer; ``complete`` is False where the list was cut."""

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
class Look:
    """The object of a fact as Stripe's API showed it later, by Stripe's clock."""

    at: datetime
    fields: Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One observation of one object by one event.

    ``before`` is the same object after undoing the event's ``previous_attributes``, read by the
    same reader; None where the event carries none. ``mentions`` names every object the fact
    speaks of, itself and its customer included: what is mentioned together belongs together.

    ``created_at`` is when the object was as it is stated. Of a snapshot that is the event's own
    time. A thin event contains no object, which is seen when Stripe's API is asked: then it is
    the time of that answer, and ``happened_at`` is the event's time if its type says that this
    very thing happened then. ``look`` is a second observation, beside the snapshot's own.
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
    look: Look | None = None
