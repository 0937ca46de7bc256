"""The families of Stripe objects: the fields, the Stripe name and the API path of each kind.

What people state belongs to no family, as Stripe knows nothing of it.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from billing.facts import (
    ChargeFields,
    CheckoutSessionFields,
    CreditNoteFields,
    CustomerFields,
    DisputeFields,
    EntitlementSummaryFields,
    Fields,
    InvoiceFields,
    InvoicePaymentFields,
    Kind,
    PaymentIntentFields,
    RefundFields,
    SubscriptionFields,
)

STATED_BY_PEOPLE: Final = frozenset({Kind.LINK, Kind.GRANT})
"""The kinds of facts that come from a person and not from Stripe."""


class Family(NamedTuple):
    """One kind of object: the shape of its facts and the way to it in Stripe's API."""

    fields: type[Fields]
    stripe_name: str
    """The value of ``object`` in Stripe's JSON."""
    path: str | None
    """The path that retrieves one object by id; None for a list that Stripe gives no id."""


FAMILIES: Final[Mapping[Kind, Family]] = {
    Kind.CUSTOMER: Family(CustomerFields, "customer", "/v1/customers/{}"),
    Kind.SUBSCRIPTION: Family(SubscriptionFields, "subscription", "/v1/subscriptions/{}"),
    Kind.CHECKOUT_SESSION: Family(
        CheckoutSessionFields,
        "checkout.session",
        "/v1/checkout/sessions/{}?expand[]=line_items",
    ),
    Kind.PAYMENT_INTENT: Family(PaymentIntentFields, "payment_intent", "/v1/payment_intents/{}"),
    Kind.CHARGE: Family(ChargeFields, "charge", "/v1/charges/{}"),
    Kind.REFUND: Family(RefundFields, "refund", "/v1/refunds/{}"),
    Kind.DISPUTE: Family(DisputeFields, "dispute", "/v1/disputes/{}"),
    Kind.INVOICE: Family(InvoiceFields, "invoice", "/v1/invoices/{}?expand[]=payments"),
    Kind.INVOICE_PAYMENT: Family(
        InvoicePaymentFields, "invoice_payment", "/v1/invoice_payments/{}"
    ),
    Kind.CREDIT_NOTE: Family(CreditNoteFields, "credit_note", "/v1/credit_notes/{}"),
    Kind.ENTITLEMENT_SUMMARY: Family(
        EntitlementSummaryFields, "entitlements.active_entitlement_summary", None
    ),
}
