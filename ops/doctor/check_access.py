"""Find users who pay and have no access: the damage that every other check only points to."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, text

from billing.statuses import DISPUTE_LOST, PAST_DUE, SUBSCRIPTION_GRANTS
from ops.doctor.findings import Finding, ok, warning
from ops.terminal.formats import format_count

PAYMENT_DAYS: Final = 30
"""Older payments are not looked at: what they bought may have ended long ago."""

_SHOWN: Final = 5

_WITHOUT_ACCESS: Final = text(
    "WITH in_force AS (SELECT user_id FROM user_entitlements WHERE active"
    "  AND (expires_at IS NULL OR expires_at > now())),"
    " paying AS ("
    "  SELECT user_id, stripe_subscription_id AS paid_by FROM subscriptions"
    "  WHERE status = ANY(:granting)"
    "  UNION ALL"
    "  SELECT user_id, payment_ref FROM payments AS paid WHERE status = 'succeeded'"
    "   AND amount_minor > amount_refunded_minor AND dispute_status IS DISTINCT FROM :lost"
    "   AND occurred_at > now() - make_interval(days => :days)"
    # A grant that ended after the payment is what was paid for.
    "   AND NOT EXISTS (SELECT FROM user_entitlements AS granted"
    "    WHERE granted.user_id = paid.user_id"
    "    AND coalesce(granted.expires_at, granted.updated_at) >= paid.occurred_at))"
    " SELECT user_id, max(paid_by) AS paid_by, count(*) OVER () AS users FROM paying"
    " WHERE user_id IS NOT NULL"
    "  AND NOT EXISTS (SELECT FROM in_force WHERE in_force.user_id = paying.user_id)"
    " GROUP BY user_id ORDER BY user_id LIMIT :shown"
)
_WITHOUT_ITEMS: Final = text(
    "SELECT stripe_subscription_id, count(*) OVER () AS subscriptions FROM subscriptions"
    " WHERE status = ANY(:living) AND cardinality(prices) = 0"
    " ORDER BY stripe_subscription_id LIMIT :shown"
)


def check_access(connection: Connection) -> Iterator[Finding]:
    """Name users with a subscription in force or a recent payment, and no grant in force."""
    yield from _check_users(connection)
    yield from _check_items(connection)


def _check_users(connection: Connection) -> Iterator[Finding]:
    values = {
        "granting": list(SUBSCRIPTION_GRANTS),
        "lost": DISPUTE_LOST,
        "days": PAYMENT_DAYS,
        "shown": _SHOWN,
    }
    without = connection.execute(_WITHOUT_ACCESS, values).all()
    if without:
        users = format_count(without[0].users, "paying user has", "paying users have")
        named = _named([f"{row.user_id} ({row.paid_by})" for row in without], without[0].users)
        says = f"{users} no access: {named}; `paidup explain {without[0].user_id}` says why"
        yield warning("access", says)
    else:
        yield ok("access", "every paying user has access")


def _check_items(connection: Connection) -> Iterator[Finding]:
    values = {"living": [*SUBSCRIPTION_GRANTS, PAST_DUE], "shown": _SHOWN}
    without = connection.execute(_WITHOUT_ITEMS, values).all()
    if without:
        of = format_count(without[0].subscriptions, "subscription has", "subscriptions have")
        named = _named([row.stripe_subscription_id for row in without], without[0].subscriptions)
        says = f"{of} no item that Paidup can read, and grants nothing: {named}"
        yield warning("items", f"{says}; compare the items with those in Stripe's dashboard")


def _named(names: list[str], of: int) -> str:
    return ", ".join([*names, "..."] if of > len(names) else names)
