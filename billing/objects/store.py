"""The states of one realm's objects in a party, each folded once and found by its Stripe id."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from billing.facts import Kind
from billing.ids import CustomerId, ObjectKey, Realm, stripe_id_of
from billing.objects.charges import (
    ChargeState,
    DisputeState,
    RefundState,
    fold_charge,
    fold_dispute,
    fold_refund,
)
from billing.objects.checkouts import SessionState, fold_session
from billing.objects.credit_notes import CreditNoteState, fold_credit_note
from billing.objects.customers import CustomerState, fold_customer
from billing.objects.entitlements import EntitlementSummaryState, fold_summary
from billing.objects.invoices import (
    InvoicePaymentState,
    InvoiceState,
    fold_invoice,
    fold_invoice_payment,
)
from billing.objects.links import LinkState, fold_link
from billing.objects.operator_grants import GrantState, fold_grant
from billing.objects.ordering import ObjectHistory
from billing.objects.payment_intents import IntentState, fold_intent
from billing.objects.subscriptions import SubscriptionState, fold_subscription


@dataclass(slots=True, kw_only=True)
class RealmObjects:
    """The states of all objects of one realm in a party."""

    realm: Realm
    customers: dict[str, CustomerState] = field(default_factory=dict)
    subscriptions: dict[str, SubscriptionState] = field(default_factory=dict)
    sessions: dict[str, SessionState] = field(default_factory=dict)
    summaries: dict[str, EntitlementSummaryState] = field(default_factory=dict)
    intents: dict[str, IntentState] = field(default_factory=dict)
    charges: dict[str, ChargeState] = field(default_factory=dict)
    refunds: dict[str, RefundState] = field(default_factory=dict)
    disputes: dict[str, DisputeState] = field(default_factory=dict)
    invoices: dict[str, InvoiceState] = field(default_factory=dict)
    invoice_payments: dict[str, InvoicePaymentState] = field(default_factory=dict)
    credit_notes: dict[str, CreditNoteState] = field(default_factory=dict)
    links: dict[str, LinkState] = field(default_factory=dict)
    operator_grants: dict[str, GrantState] = field(default_factory=dict)
    customers_named: dict[tuple[Kind, ObjectKey], frozenset[CustomerId]] = field(
        default_factory=dict
    )
    """The customers that each object names. A customer counts before its own first event."""
    undecided: set[tuple[Kind, ObjectKey]] = field(default_factory=set)

    def put(self, kind: Kind, key: ObjectKey, history: ObjectHistory) -> None:
        """Fold a history that changed, replacing the state before."""
        collection, fold = _FOLDS[kind]
        getattr(self, collection)[stripe_id_of(key)] = fold(key, history)
        named = frozenset(fact.customer_id for fact in history.facts if fact.customer_id)
        self.customers_named[kind, key] = named
        if history.guessed:
            self.undecided.add((kind, key))
        else:
            self.undecided.discard((kind, key))

    def drop(self, kind: Kind, key: ObjectKey) -> None:
        """Remove an object that has no fact left."""
        collection, _ = _FOLDS[kind]
        getattr(self, collection).pop(stripe_id_of(key), None)
        self.customers_named.pop((kind, key), None)
        self.undecided.discard((kind, key))


_FOLDS: Mapping[Kind, tuple[str, Callable[[ObjectKey, ObjectHistory], Any]]] = {
    Kind.CUSTOMER: ("customers", fold_customer),
    Kind.SUBSCRIPTION: ("subscriptions", fold_subscription),
    Kind.CHECKOUT_SESSION: ("sessions", fold_session),
    Kind.PAYMENT_INTENT: ("intents", fold_intent),
    Kind.CHARGE: ("charges", fold_charge),
    Kind.REFUND: ("refunds", fold_refund),
    Kind.DISPUTE: ("disputes", fold_dispute),
    Kind.INVOICE: ("invoices", fold_invoice),
    Kind.INVOICE_PAYMENT: ("invoice_payments", fold_invoice_payment),
    Kind.CREDIT_NOTE: ("credit_notes", fold_credit_note),
    Kind.ENTITLEMENT_SUMMARY: ("summaries", fold_summary),
    Kind.LINK: ("links", fold_link),
    Kind.GRANT: ("operator_grants", fold_grant),
}
"""The collection of each kind's objects, and the fold that makes their state."""
