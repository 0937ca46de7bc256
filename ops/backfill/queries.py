"""Ask what a backfill leaves for people to decide: customers without a user, prices in no plan."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from billing.ids import Realm
from billing.statuses import PAST_DUE, SUBSCRIPTION_GRANTS

_LIVING: Final = sorted({*SUBSCRIPTION_GRANTS, PAST_DUE})
"""Statuses of subscriptions that are paid or may be paid soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerWithoutUser:
    """A customer whom nothing gave a user.

    ``emails`` are addresses that Stripe shows for it: a hint, and never a fact. ``same_email`` is
    the only user whose customers bear one of them, None if there is no such user or several.
    """

    customer: str
    emails: tuple[str, ...]
    same_email: str | None
    running: int
    """Subscriptions that are paid or may be paid soon."""
    purchases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceInNoPlan:
    """A price that was sold and is in no plan, with everything that is on it."""

    price: str
    running: int
    ended: int
    purchases: int


def customers_without_user(
    connection: Connection, realm: Realm, *, limit: int
) -> tuple[list[CustomerWithoutUser], int]:
    """Return the first customers without a user, and the number of all.

    Those with running subscriptions and purchases come first.
    """
    values = {"realm": realm, "living": _LIVING, "limit": limit}
    found = [
        CustomerWithoutUser(
            customer=row.customer,
            emails=tuple(row.emails or ()),
            same_email=row.users[0] if row.users and len(row.users) == 1 else None,
            running=row.running,
            purchases=row.purchases,
        )
        for row in connection.execute(_CUSTOMERS, values)
    ]
    return found, int(connection.scalar(_CUSTOMER_COUNT, {"realm": realm}) or 0)


def prices_in_no_plan(connection: Connection, realm: Realm) -> list[PriceInNoPlan]:
    """Return the prices that were sold and are in no plan, the most running subscriptions first."""
    rows = connection.execute(_PRICES, {"realm": realm, "living": _LIVING}).mappings()
    return [PriceInNoPlan(**row) for row in rows]


_CUSTOMERS: Final = text(
    """
    SELECT stripe_customer_id AS customer, emails, users, running, purchases
    FROM customers
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE status = ANY(:living)) AS running FROM subscriptions
        WHERE subscriptions.party = customers.party
          AND subscriptions.stripe_customer_id = customers.stripe_customer_id) AS subscribed
    CROSS JOIN LATERAL (
        SELECT count(*) AS purchases FROM purchases
        WHERE purchases.party = customers.party AND status = 'paid' AND user_id IS NULL) AS bought
    CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT term ORDER BY term) AS emails FROM search_terms
        WHERE search_terms.party = customers.party AND kind = 'email'
          AND object_key = customers.realm || ':' || customers.stripe_customer_id) AS addresses
    CROSS JOIN LATERAL (
        SELECT array_agg(DISTINCT known.user_id) AS users
        FROM search_terms JOIN customers AS known
          ON object_key = known.realm || ':' || known.stripe_customer_id
             AND search_terms.party = known.party
        WHERE kind = 'email' AND term = ANY(emails) AND known.realm = customers.realm
          AND known.user_id IS NOT NULL) AS bearing
    WHERE realm = :realm AND user_id IS NULL
    ORDER BY running DESC, purchases DESC, customer LIMIT :limit
    """
)
_CUSTOMER_COUNT: Final = text(
    "SELECT count(*) FROM customers WHERE realm = :realm AND user_id IS NULL"
)
_PRICES: Final = text(
    """
    SELECT unplanned.price, sum(running)::bigint AS running, sum(ended)::bigint AS ended,
           sum(purchases)::bigint AS purchases
    FROM parties CROSS JOIN LATERAL unnest(unknown_prices) AS unplanned (price)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE status = ANY(:living)) AS running,
               count(*) FILTER (WHERE status <> ALL(:living)) AS ended FROM subscriptions
        WHERE subscriptions.party = parties.party AND unplanned.price = ANY(prices)) AS subscribed
    CROSS JOIN LATERAL (
        SELECT count(*) AS purchases FROM purchases
        WHERE purchases.party = parties.party AND purchases.price = unplanned.price
          AND status = 'paid' AND plan_code IS NULL) AS bought
    WHERE split_part(parties.party, ':', 1) = :realm AND cardinality(unknown_prices) > 0
    GROUP BY unplanned.price ORDER BY running DESC, purchases DESC, unplanned.price
    """
)
