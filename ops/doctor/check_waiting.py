"""Report events and objects without effect yet, and the remedy: warnings, never errors."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, func, select, text
from sqlalchemy.orm import InstrumentedAttribute

from billing.statuses import PAST_DUE, SUBSCRIPTION_GRANTS
from models.dead_letters import DeadLetter
from models.events import Party
from ops.doctor.findings import Finding, warning
from ops.queries.events import count_unfetched

_SHOWN = 5
LIVING = frozenset({*SUBSCRIPTION_GRANTS, PAST_DUE})
"""Statuses of subscriptions that are paid or may be paid soon."""
_LACKING: Mapping[str, tuple[InstrumentedAttribute[list[str]], str]] = {
    "subscriptions": (
        Party.missing_subscriptions,
        "known from a checkout only, enable customer.subscription.* on Stripe's endpoint",
    ),
    "features": (
        Party.incomplete_summaries,
        "customers whose list of Stripe features was cut off, set STRIPE_API_KEY to fetch it",
    ),
    "order": (
        Party.undecided,
        "changed twice in one second and their order is a guess, set STRIPE_API_KEY to check it",
    ),
}


def check_waiting(connection: Connection) -> Iterator[Finding]:
    """Report everything that lacks something, with ids to search for."""
    if prices := find_unplanned_prices(connection):
        shown = _shorten([f"{each.price} ({_users(each)})" for each in prices])
        says = "sold but in no plan, add them and run `paidup plans apply`"
        yield warning("prices", f"{says}: {shown}")
    for check, (column, says) in _LACKING.items():
        if names := _names(connection, column):
            yield warning(check, f"{says}: {_shorten(names)}")
    waiting = select(func.count()).select_from(Party).where(Party.waiting)
    if count := connection.scalar(waiting):
        says = f"{count} customers or payments name no user: set metadata.user_id in Stripe"
        yield warning("users", says)
    if count := count_unfetched(connection):
        says = f"{count} events need a fetch: set STRIPE_API_KEY, run `paidup replay --unfetched`"
        yield warning("fetching", says)
    dead = select(func.count()).select_from(DeadLetter).where(DeadLetter.state == "open")
    if count := connection.scalar(dead):
        says = f"{count} could not be applied: run `paidup dead list` to see which and why"
        yield warning("dead letters", says)


class UnplannedPrice(NamedTuple):
    """A price that is paid for and in no plan, and the users waiting for it."""

    price: str
    users: int
    without_user: int
    """Payers without a user id yet."""


def find_unplanned_prices(connection: Connection) -> list[UnplannedPrice]:
    """Return every price that was sold and is in no plan, most waiting users first."""
    found = connection.execute(_UNSOLD, {"living": list(LIVING)})
    return [UnplannedPrice(*row) for row in found]


def _users(each: UnplannedPrice) -> str:
    waiting = f"{each.users} {'user waits' if each.users == 1 else 'users wait'}"
    return f"{waiting}, {each.without_user} not known as users" if each.without_user else waiting


_UNSOLD = text(
    "WITH lacking AS (SELECT party, unnest(unknown_prices) AS price FROM parties"
    " WHERE cardinality(unknown_prices) > 0), payers AS ("
    " SELECT price, user_id, true AS pays FROM lacking JOIN subscriptions USING (party)"
    " WHERE price = ANY(prices) AND status = ANY(:living)"
    " UNION ALL SELECT lacking.price, user_id, true FROM lacking JOIN purchases USING (party)"
    # A product, a link or a plan's code is no price, so the purchase that named it has none.
    " WHERE status = 'paid' AND plan_code IS NULL"
    " AND coalesce(purchases.price, lacking.price) = lacking.price)"
    " SELECT price, count(DISTINCT user_id), count(*) FILTER (WHERE pays AND user_id IS NULL)"
    " FROM (SELECT DISTINCT price FROM lacking) AS every"
    " LEFT JOIN payers USING (price) GROUP BY price ORDER BY 2 DESC, 1"
)


def _names(connection: Connection, column: InstrumentedAttribute[list[str]]) -> list[str]:
    name = func.unnest(column).label("name")
    query = select(name).where(func.cardinality(column) > 0).distinct().order_by(name)
    return list(connection.scalars(query.limit(_SHOWN + 1)))


def _shorten(names: list[str]) -> str:
    return ", ".join(names if len(names) <= _SHOWN else [*names[:_SHOWN], "..."])
