"""The objects of one realm in one party, each condensed once and looked up by its Stripe id."""

from dataclasses import dataclass, field
from typing import Any

from billing.access_objects import (
    Customer,
    Session,
    Subscription,
    Summary,
    read_customer,
    read_session,
    read_subscription,
    read_summary,
)
from billing.facts import Kind
from billing.history import History
from billing.ids import CustomerId, ObjectKey, Realm, stripe_id_of
from billing.money_objects import (
    Charge,
    Dispute,
    Intent,
    Invoice,
    Refund,
    Share,
    read_charge,
    read_dispute,
    read_intent,
    read_invoice,
    read_refund,
    read_share,
)


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
        self.drop(kind, key)
        shelf, read = self._shelf(kind)
        shelf[stripe_id_of(key)] = read(key, history)
        named = frozenset(fact.customer_id for fact in history.facts if fact.customer_id)
        self.customers_named[kind, key] = named
        if history.guessed:
            self.undecided.add((kind, key))

    def drop(self, kind: Kind, key: ObjectKey) -> None:
        """Forget an object of which no fact is left."""
        self._shelf(kind)[0].pop(stripe_id_of(key), None)
        self.customers_named.pop((kind, key), None)
        self.undecided.discard((kind, key))

    def _shelf(self, kind: Kind) -> tuple[dict[str, Any], Any]:
        shelves: dict[Kind, tuple[dict[str, Any], Any]] = {
            Kind.CUSTOMER: (self.customers, read_customer),
            Kind.SUBSCRIPTION: (self.subscriptions, read_subscription),
            Kind.CHECKOUT_SESSION: (self.sessions, read_session),
            Kind.PAYMENT_INTENT: (self.intents, read_intent),
            Kind.CHARGE: (self.charges, read_charge),
            Kind.REFUND: (self.refunds, read_refund),
            Kind.DISPUTE: (self.disputes, read_dispute),
            Kind.INVOICE: (self.invoices, read_invoice),
            Kind.INVOICE_PAYMENT: (self.shares, read_share),
            Kind.ENTITLEMENT_SUMMARY: (self.summaries, read_summary),
        }
        return shelves[kind]
