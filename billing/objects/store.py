"""The objects of one realm in one party, each condensed once and looked up by its Stripe id."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from billing.facts import Kind
from billing.ids import CustomerId, ObjectKey, Realm, stripe_id_of
from billing.objects.charges import Charge, Dispute, Refund, read_charge, read_dispute, read_refund
from billing.objects.checkouts import Session, read_session
from billing.objects.customers import Customer, read_customer
from billing.objects.entitlements import Summary, read_summary
from billing.objects.invoices import Invoice, Share, read_invoice, read_share
from billing.objects.ordering import History
from billing.objects.payment_intents import Intent, read_intent
from billing.objects.subscriptions import Subscription, read_subscription


@dataclass(slots=True, kw_only=True)
class Objects:
    """Everything that one realm's facts of a party amount to, before they are put together."""

    realm: Realm
    customers: dict[str, Customer] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    disputes: dict[str, Dispute] = field(default_factory=dict)
    invoices: dict[str, Invoice] = field(default_factory=dict)
    shares: dict[str, Share] = field(default_factory=dict)
    customers_named: dict[tuple[Kind, ObjectKey], frozenset[CustomerId]] = field(
        default_factory=dict
    )
    """A customer is known before any event of its own: other objects name it."""
    undecided: set[tuple[Kind, ObjectKey]] = field(default_factory=set)

    def put(self, kind: Kind, key: ObjectKey, history: History) -> None:
        """Condense a history that grew or shrank, in place of what it was before."""
        shelf, read = _SHELVES[kind]
        getattr(self, shelf)[stripe_id_of(key)] = read(key, history)
        named = frozenset(fact.customer_id for fact in history.facts if fact.customer_id)
        self.customers_named[kind, key] = named
        if history.guessed:
            self.undecided.add((kind, key))
        else:
            self.undecided.discard((kind, key))

    def drop(self, kind: Kind, key: ObjectKey) -> None:
        """Forget an object of which no fact is left."""
        shelf, _ = _SHELVES[kind]
        getattr(self, shelf).pop(stripe_id_of(key), None)
        self.customers_named.pop((kind, key), None)
        self.undecided.discard((kind, key))


_SHELVES: Mapping[Kind, tuple[str, Callable[[ObjectKey, History], Any]]] = {
    Kind.CUSTOMER: ("customers", read_customer),
    Kind.SUBSCRIPTION: ("subscriptions", read_subscription),
    Kind.CHECKOUT_SESSION: ("sessions", read_session),
    Kind.PAYMENT_INTENT: ("intents", read_intent),
    Kind.CHARGE: ("charges", read_charge),
    Kind.REFUND: ("refunds", read_refund),
    Kind.DISPUTE: ("disputes", read_dispute),
    Kind.INVOICE: ("invoices", read_invoice),
    Kind.INVOICE_PAYMENT: ("shares", read_share),
    Kind.ENTITLEMENT_SUMMARY: ("summaries", read_summary),
}
"""Where the objects of each kind are kept, and what condenses them."""
