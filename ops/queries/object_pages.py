"""Query customers, subscriptions, payments and purchases page by page.

Payments are listed newest first; the others, which bear no time of their beginning, by their ids.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from billing.ids import Realm
from billing.readers.search_terms import EMAIL, email_term
from models.projected import MONEY_BACK, PAYMENT_STATUSES
from models.tables import (
    SearchTerm,
    StoredCustomer,
    StoredPayment,
    StoredPurchase,
    StoredSubscription,
)
from ops.queries.lookups import parties_by_email
from ops.queries.pages import Branch, Conditions, Listing, Page, PageRequest, fetch_page
from ops.queries.parties import parties_of_object
from runtime.database.one_of import one_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCustomer:
    """A Stripe customer, its user and its party."""

    realm: str
    stripe_customer_id: str
    user_id: str | None
    party: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSubscription:
    """A subscription as its newest observation shows it."""

    realm: str
    stripe_subscription_id: str
    stripe_customer_id: str | None
    user_id: str | None
    status: str
    prices: Sequence[str]
    current_period_end: datetime | None
    cancel_at_period_end: bool
    as_of: datetime
    party: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPayment:
    """A payment; ``inferred`` and ``provisional`` as in ``billing.rows.PaymentRow``."""

    realm: str
    payment_ref: str
    user_id: str | None
    stripe_customer_id: str | None
    amount_minor: int
    amount_refunded_minor: int
    currency: str
    status: str
    dispute_status: str | None
    invoice_id: str | None
    plan_code: str | None
    inferred: bool
    provisional: bool
    occurred_at: datetime
    party: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPurchase:
    """One line that was bought."""

    realm: str
    purchase_ref: str
    line: str
    user_id: str | None
    plan_code: str | None
    price: str | None
    quantity: int
    status: str
    ends_at: datetime | None
    payment_ref: str | None
    party: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerFilter:
    """The conditions on a customer; ``without_user`` asks for those that wait for one."""

    user: str | None = None
    email: str | None = None
    without_user: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionFilter:
    """The conditions on a subscription; ``prices`` are those of which it has one."""

    status: str | None = None
    user: str | None = None
    customer: str | None = None
    prices: tuple[str, ...] = ()
    canceling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFilter:
    """The conditions on a payment; times are those of the money."""

    status: str | None = None
    user: str | None = None
    customer: str | None = None
    invoice: str | None = None
    plan: str | None = None
    refunded: bool = False
    disputed: bool = False
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseFilter:
    """The conditions on a purchase; ``payment`` is the reference of the payment for it."""

    status: str | None = None
    user: str | None = None
    plan: str | None = None
    payment: str | None = None


def customer_page(
    connection: Connection, wanted: CustomerFilter, asked: PageRequest
) -> Page[ListedCustomer]:
    """Return a page of the customers that match, by their ids."""
    found: list[ColumnElement[bool]] = []
    if wanted.user:
        found.append(StoredCustomer.user_id == wanted.user)
    if wanted.email:
        term = email_term(wanted.email) or wanted.email
        found.append(StoredCustomer.party.in_(parties_by_email(term)))

    def without_user(customer: type[StoredCustomer]) -> Conditions:
        return [customer.user_id.is_(None)]

    listing = Listing(
        shape=ListedCustomer,
        model=StoredCustomer,
        order=("realm", "stripe_customer_id"),
        branches=(Branch(conditions=found),),
        filters=without_user if wanted.without_user else None,
        descending=False,
    )
    return fetch_page(connection, listing, asked)


def subscription_page(
    connection: Connection,
    wanted: SubscriptionFilter,
    asked: PageRequest,
    *,
    realms: Sequence[Realm],
) -> Page[ListedSubscription]:
    """Return a page of the subscriptions that match, by their ids, the highest first."""
    found: list[ColumnElement[bool]] = []
    pinned = {"status": wanted.status} if wanted.status else {}
    if wanted.user:
        found.append(StoredSubscription.user_id == wanted.user)
    if wanted.customer:
        parties = one_of(
            StoredSubscription.party, parties_of_object(connection, wanted.customer, realms)
        )
        found += [parties, StoredSubscription.stripe_customer_id == wanted.customer]

    def filters(subscription: type[StoredSubscription]) -> Conditions:
        left: list[ColumnElement[bool]] = []
        if wanted.prices:
            left.append(subscription.prices.overlap(list(wanted.prices)))
        if wanted.canceling:
            left.append(subscription.cancel_at_period_end.is_(True))
        return left

    listing = Listing(
        shape=ListedSubscription,
        model=StoredSubscription,
        order=("realm", "stripe_subscription_id"),
        branches=(Branch(pinned=pinned, conditions=found),),
        filters=filters if wanted.prices or wanted.canceling else None,
        dated="as_of",
    )
    return fetch_page(connection, listing, asked)


def payment_page(
    connection: Connection,
    wanted: PaymentFilter,
    asked: PageRequest,
    *,
    realms: Sequence[Realm],
) -> Page[ListedPayment]:
    """Return a page of the payments that match, newest first."""
    branches, by_index = _payment_branches(connection, wanted, realms)
    filters: dict[str, tuple[object, Callable[[Any], ColumnElement[bool]]]] = {
        "status": (wanted.status, lambda each: each.status == wanted.status),
        "user": (wanted.user, lambda each: each.user_id == wanted.user),
        "customer": (wanted.customer, lambda each: each.stripe_customer_id == wanted.customer),
        "plan": (wanted.plan, lambda each: each.plan_code == wanted.plan),
        "refunded": (wanted.refunded, lambda each: each.amount_refunded_minor > 0),
        "disputed": (wanted.disputed, lambda each: each.dispute_status.is_not(None)),
    }
    left = [test for name, (given, test) in filters.items() if given and name not in by_index]

    def conditions(payment: Any) -> Conditions:
        return [test(payment) for test in left]

    listing = Listing(
        shape=ListedPayment,
        model=StoredPayment,
        order=("occurred_at", "payment_ref", "realm"),
        branches=branches,
        since=wanted.since,
        until=wanted.until,
        filters=conditions if left else None,
        dated="occurred_at",
    )
    return fetch_page(connection, listing, asked)


def _payment_branches(
    connection: Connection, wanted: PaymentFilter, realms: Sequence[Realm]
) -> tuple[tuple[Branch, ...], frozenset[str]]:
    """Return what one index answers in the order of the list, and the fields that this answers."""
    if wanted.invoice:
        parties = parties_of_object(connection, wanted.invoice, realms)
        of_invoice = StoredPayment.invoice_id == wanted.invoice
        some = Branch(conditions=(one_of(StoredPayment.party, parties), of_invoice))
        return (some,), frozenset()
    if wanted.user:
        return (Branch(pinned={"user_id": wanted.user}),), frozenset({"user"})
    if wanted.customer:
        of_customer = Branch(pinned={"stripe_customer_id": wanted.customer})
        return (of_customer,), frozenset({"customer"})
    if wanted.refunded or wanted.disputed:
        return (Branch(conditions=(MONEY_BACK,)),), frozenset()
    statuses = (wanted.status,) if wanted.status else PAYMENT_STATUSES
    return tuple(Branch(pinned={"status": each}) for each in statuses), frozenset({"status"})


def purchase_page(
    connection: Connection,
    wanted: PurchaseFilter,
    asked: PageRequest,
    *,
    realms: Sequence[Realm],
) -> Page[ListedPurchase]:
    """Return a page of the purchases that match, by their references, the highest first."""
    found: list[ColumnElement[bool]] = []
    pinned = {"status": wanted.status} if wanted.status else {}
    if wanted.user:
        found.append(StoredPurchase.user_id == wanted.user)
    if wanted.payment:
        parties = one_of(
            StoredPurchase.party, parties_of_object(connection, wanted.payment, realms)
        )
        found += [parties, StoredPurchase.payment_ref == wanted.payment]

    def of_plan(purchase: type[StoredPurchase]) -> Conditions:
        return [purchase.plan_code == wanted.plan]

    listing = Listing(
        shape=ListedPurchase,
        model=StoredPurchase,
        order=("realm", "purchase_ref", "line"),
        branches=(Branch(pinned=pinned, conditions=found),),
        filters=of_plan if wanted.plan else None,
    )
    return fetch_page(connection, listing, asked)


def emails_of(connection: Connection, parties: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the addresses that the objects of each party bear, by party."""
    query = select(SearchTerm.party, SearchTerm.term).distinct()
    named = query.where(one_of(SearchTerm.party, parties), SearchTerm.kind == EMAIL)
    found: dict[str, list[str]] = {}
    for party, term in connection.execute(named.order_by(SearchTerm.term)):
        found.setdefault(party, []).append(term)
    return {party: tuple(terms) for party, terms in found.items()}
