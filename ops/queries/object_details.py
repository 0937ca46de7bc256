"""Query one customer, subscription, payment or purchase with the ids of its neighbours.

An id may exist in several realms, so each query returns what it finds in each. Lists of neighbours
hold the first page; ``ops.queries.object_pages`` goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, SQLColumnExpression, func, select

from billing.facts import Kind
from billing.ids import ObjectKey, PartyId, Realm, object_key, stripe_id_of
from models.tables import (
    PaymentEvent,
    StoredCustomer,
    StoredFact,
    StoredPayment,
    StoredPurchase,
    StoredSubscription,
    UserEntitlement,
)
from ops.queries.links import ListedLink, list_links
from ops.queries.object_pages import (
    ListedCustomer,
    ListedPayment,
    ListedPurchase,
    ListedSubscription,
    PaymentFilter,
    SubscriptionFilter,
    emails_of,
    payment_page,
    subscription_page,
)
from ops.queries.pages import Page, PageRequest
from ops.queries.parties import users_of_parties
from ops.queries.rows import fetch
from runtime.database.one_of import one_of
from runtime.ledger.maintenance.archive_updates import UpdateProgress, updates_in_progress

MAX_NEIGHBOURS: Final = 50

_SUBSCRIPTION: Final[ColumnElement[str]] = StoredFact.fact["fields"]["subscription"].as_string()
"""The subscription that an invoice names."""

_FIRST: Final = PageRequest(limit=MAX_NEIGHBOURS)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenEntitlement:
    """Entitlements of a user from a source under a plan; an ``active`` row may be at its end."""

    user_id: str
    source: str
    plan_code: str
    realm: str
    active: bool
    starts_at: datetime
    expires_at: datetime | None
    because: str
    event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentMovement:
    """A signed change of a payment's totals, and the event that caused it."""

    id: int
    kind: str
    amount_minor: int
    currency: str
    occurred_at: datetime
    event_id: str | None
    event_type: str | None
    user_id: str | None
    plan_code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerDetails:
    """A customer; ``users`` are all whom rows of its party name."""

    customer: ListedCustomer
    emails: tuple[str, ...]
    users: tuple[str, ...]
    subscriptions: Page[ListedSubscription]
    payments: Page[ListedPayment]
    purchases: tuple[ListedPurchase, ...]
    links: tuple[ListedLink, ...]
    pending_updates: tuple[UpdateProgress, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionDetails:
    """A subscription, what its invoices brought in, and what it gives."""

    subscription: ListedSubscription
    invoices: tuple[str, ...]
    payments: tuple[ListedPayment, ...]
    entitlements: tuple[GivenEntitlement, ...]
    links: tuple[ListedLink, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDetails:
    """A payment, its movements, and what it is for."""

    payment: ListedPayment
    movements: tuple[PaymentMovement, ...]
    purchases: tuple[ListedPurchase, ...]
    subscription: str | None
    entitlements: tuple[GivenEntitlement, ...]
    links: tuple[ListedLink, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseDetails:
    """A purchase with all its lines, the payment for it, and what it gives."""

    lines: tuple[ListedPurchase, ...]
    payment: ListedPayment | None
    entitlements: tuple[GivenEntitlement, ...]
    links: tuple[ListedLink, ...]


def customer_details(
    connection: Connection, customer_id: str, realms: Sequence[Realm]
) -> tuple[CustomerDetails, ...]:
    """Return the customer in each realm that knows it."""
    model = StoredCustomer
    keyed = (one_of(model.realm, realms), model.stripe_customer_id == customer_id)
    found = fetch(connection, ListedCustomer, model, *keyed)
    return tuple(_customer(connection, each) for each in found)


def _customer(connection: Connection, customer: ListedCustomer) -> CustomerDetails:
    realms, stripe_id = [Realm(customer.realm)], customer.stripe_customer_id
    subscriptions = SubscriptionFilter(customer=stripe_id)
    payments = PaymentFilter(customer=stripe_id)
    of_party = StoredPurchase.party == customer.party
    purchases = fetch(connection, ListedPurchase, StoredPurchase, of_party, limit=MAX_NEIGHBOURS)
    return CustomerDetails(
        customer=customer,
        emails=emails_of(connection, [customer.party]).get(customer.party, ()),
        users=users_of_parties(connection, [customer.party])[:MAX_NEIGHBOURS],
        subscriptions=subscription_page(connection, subscriptions, _FIRST, realms=realms),
        payments=payment_page(connection, payments, _FIRST, realms=realms),
        purchases=purchases,
        links=_links(connection, stripe_id),
        pending_updates=tuple(updates_in_progress(connection, {PartyId(customer.party)})),
    )


def subscription_details(
    connection: Connection, subscription_id: str, realms: Sequence[Realm]
) -> tuple[SubscriptionDetails, ...]:
    """Return the subscription in each realm that knows it."""
    model = StoredSubscription
    keyed = (one_of(model.realm, realms), model.stripe_subscription_id == subscription_id)
    found = fetch(connection, ListedSubscription, model, *keyed)
    return tuple(_subscription(connection, each) for each in found)


def _subscription(connection: Connection, subscription: ListedSubscription) -> SubscriptionDetails:
    stripe_id, party = subscription.stripe_subscription_id, subscription.party
    of_invoice = StoredFact.kind == Kind.INVOICE.value
    named = (
        select(StoredFact.object_key)
        .where(StoredFact.party == party, of_invoice, _SUBSCRIPTION.in_([stripe_id]))
        .group_by(StoredFact.object_key)
        .order_by(func.max(StoredFact.created_at).desc())
    )
    keys = connection.scalars(named.limit(MAX_NEIGHBOURS))
    invoices = tuple(stripe_id_of(ObjectKey(key)) for key in keys)
    paid = (StoredPayment.party == party, one_of(StoredPayment.invoice_id, invoices))
    newest = _newest_first()
    return SubscriptionDetails(
        subscription=subscription,
        invoices=invoices,
        payments=fetch(connection, ListedPayment, StoredPayment, *paid, order_by=newest),
        entitlements=_given(connection, subscription.party, [stripe_id]),
        links=_links(connection, stripe_id),
    )


def _newest_first() -> tuple[SQLColumnExpression[Any], ...]:
    return StoredPayment.occurred_at.desc(), StoredPayment.payment_ref.desc()


def payment_details(
    connection: Connection, payment_ref: str, realms: Sequence[Realm]
) -> tuple[PaymentDetails, ...]:
    """Return the payment in each realm that knows it."""
    keyed = (one_of(StoredPayment.realm, realms), StoredPayment.payment_ref == payment_ref)
    found = fetch(connection, ListedPayment, StoredPayment, *keyed)
    return tuple(_payment(connection, each) for each in found)


def _payment(connection: Connection, payment: ListedPayment) -> PaymentDetails:
    reference, party = payment.payment_ref, payment.party
    moved = (PaymentEvent.payment_ref == reference, PaymentEvent.realm == payment.realm)
    bought = (StoredPurchase.party == party, StoredPurchase.payment_ref == reference)
    purchases = fetch(connection, ListedPurchase, StoredPurchase, *bought, limit=MAX_NEIGHBOURS)
    subscription = _paid_for(connection, payment)
    sources = {*(each.purchase_ref for each in purchases), reference}
    return PaymentDetails(
        payment=payment,
        movements=fetch(connection, PaymentMovement, PaymentEvent, *moved, limit=MAX_NEIGHBOURS),
        purchases=purchases,
        subscription=subscription,
        entitlements=_given(
            connection, party, [*sources, *([subscription] if subscription else [])]
        ),
        links=_links(connection, reference),
    )


def _paid_for(connection: Connection, payment: ListedPayment) -> str | None:
    """Return the subscription that the payment's invoice names."""
    if payment.invoice_id is None:
        return None
    query = select(_SUBSCRIPTION).where(
        StoredFact.party == payment.party,
        StoredFact.object_key == object_key(Realm(payment.realm), payment.invoice_id),
        _SUBSCRIPTION.is_not(None),
    )
    named: str | None = connection.scalar(query.limit(1))
    return named


def purchase_details(
    connection: Connection, purchase_ref: str, realms: Sequence[Realm]
) -> tuple[PurchaseDetails, ...]:
    """Return the purchase in each realm that knows it."""
    model = StoredPurchase
    keyed = (one_of(model.realm, realms), model.purchase_ref == purchase_ref)
    lines = fetch(connection, ListedPurchase, model, *keyed, limit=MAX_NEIGHBOURS)
    in_realms = {realm: [each for each in lines if each.realm == realm] for realm in realms}
    return tuple(_purchase(connection, some) for some in in_realms.values() if some)


def _purchase(connection: Connection, lines: Sequence[ListedPurchase]) -> PurchaseDetails:
    first = lines[0]
    paid = (StoredPayment.realm == first.realm, StoredPayment.payment_ref == first.payment_ref)
    payments = fetch(connection, ListedPayment, StoredPayment, *paid)
    return PurchaseDetails(
        lines=tuple(lines),
        payment=payments[0] if payments else None,
        entitlements=_given(connection, first.party, [first.purchase_ref]),
        links=_links(connection, first.purchase_ref),
    )


def _given(
    connection: Connection, party: str, sources: Sequence[str]
) -> tuple[GivenEntitlement, ...]:
    of_sources = (UserEntitlement.party == party, one_of(UserEntitlement.source, sources))
    return fetch(connection, GivenEntitlement, UserEntitlement, *of_sources, limit=MAX_NEIGHBOURS)


def _links(connection: Connection, target: str) -> tuple[ListedLink, ...]:
    """Return the links of an object that people made, also those that ended."""
    found, _ = list_links(connection, user=None, target=target, ended=True, limit=MAX_NEIGHBOURS)
    return tuple(found)
