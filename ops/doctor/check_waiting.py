"""Report events and objects without effect yet, and the remedy: warnings, never errors."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, func, select, text
from sqlalchemy.orm import InstrumentedAttribute

from billing.rows import IN_NO_PLAN, NoGrant
from billing.statuses import PAST_DUE, SUBSCRIPTION_GRANTS
from models.dead_letters import DeadLetter
from models.events import Party
from ops.doctor.findings import Finding, warning
from ops.doctor.on_its_own import Find, on_its_own
from ops.queries.events import count_unfetched
from ops.terminal.formats import format_count, format_time
from runtime.ledger.notes import NOTES

_SHOWN = 5
LIVING = frozenset({*SUBSCRIPTION_GRANTS, PAST_DUE})
"""Statuses of subscriptions that are paid or may be paid soon."""
_IN_NO_PLAN: Mapping[NoGrant, tuple[str, str]] = {
    NoGrant.UNKNOWN_PRICE: (
        "prices",
        "sold but in no plan, add them and run `paidup plans apply --reason WHY`",
    ),
    NoGrant.FORMER_PRICE: (
        "former prices",
        "sold by an earlier version of the plans, add them to a plan or to [catalogue] nothing",
    ),
    NoGrant.KEPT_PRICE: (
        "kept prices",
        "in no plan, so their subscriptions keep what they had, add them to a plan",
    ),
}
"""Check and sentence for each reason of a price in no plan."""
_NAMED: Mapping[NoGrant, tuple[str, str]] = {
    NoGrant.EMPTY_PLAN: (
        "empty plans",
        "sold without any feature, add some and run `paidup plans apply --reason WHY`",
    ),
    NoGrant.UNNAMED: (
        "unnamed",
        "paid and naming no price and no plan, name one in metadata.price_id or metadata.plan_code",
    ),
}
_LACKING: Mapping[str, tuple[InstrumentedAttribute[list[str]], str]] = {
    "subscriptions": (
        Party.missing_subscriptions,
        "known from checkout or invoice only, enable customer.subscription.* on Stripe's endpoint",
    ),
    "features": (
        Party.incomplete_summaries,
        "customers whose list of Stripe features was cut off, set STRIPE_API_KEY to fetch it",
    ),
    "items": (
        Party.incomplete_items,
        "subscriptions whose list of items was cut off, set STRIPE_API_KEY to fetch it",
    ),
    "lines": (
        Party.incomplete_lines,
        "invoices and credit notes whose lines were cut off, set STRIPE_API_KEY to fetch them",
    ),
    "order": (
        Party.undecided,
        "changed twice in one second and their order is a guess, set STRIPE_API_KEY to check it",
    ),
}


def check_waiting(connection: Connection) -> Iterator[Finding]:
    """Report everything that lacks something, with ids to search for."""
    checks: Mapping[str, Find] = {
        **{check: partial(_check_prices, why) for why, (check, _) in _IN_NO_PLAN.items()},
        **{check: partial(_check_named, why) for why, (check, _) in _NAMED.items()},
        **{name: partial(_check_lacking, name) for name in _LACKING},
        "line items": _check_line_items,
        "invoices": _check_invoices,
        "users": _check_users,
        "fetching": _check_fetching,
        "dead letters": _check_dead_letters,
    }
    for name, find in checks.items():
        yield from on_its_own(connection, name, find)


def _check_prices(why: NoGrant, connection: Connection) -> Iterator[Finding]:
    check, says = _IN_NO_PLAN[why]
    if prices := find_unplanned_prices(connection, [why], limit=_SHOWN + 1):
        shown = _shorten([f"{each.price} ({_users(each)})" for each in prices])
        yield warning(check, f"{says}: {shown}")


def _check_named(why: NoGrant, connection: Connection) -> Iterator[Finding]:
    check, says = _NAMED[why]
    if names := list(connection.scalars(_NOTED, {"why": why.value, "limit": _SHOWN + 1})):
        yield warning(check, f"{says}: {_shorten(names)}")


_NOTED = text(
    f"SELECT DISTINCT name FROM {NOTES} WHERE kind = 'without_grant'"  # noqa: S608 - our own words
    " AND value #>> '{}' = :why ORDER BY name LIMIT :limit"
)


def _check_lacking(check: str, connection: Connection) -> Iterator[Finding]:
    column, says = _LACKING[check]
    if names := _names(connection, column):
        yield warning(check, f"{says}: {_shorten(names)}")


def _check_line_items(connection: Connection) -> Iterator[Finding]:
    if names := list(connection.scalars(_WITHOUT_LINE_ITEMS, {"limit": _SHOWN + 1})):
        says = "paid checkouts whose lines and quantities are assumed"
        remedy = "set STRIPE_API_KEY to fetch them"
        yield warning("line items", f"{says}, {remedy}: {_shorten(names)}")


_WITHOUT_LINE_ITEMS = text(
    f"SELECT DISTINCT name FROM {NOTES} WHERE kind = 'without_line_items'"  # noqa: S608 - our words
    " ORDER BY name LIMIT :limit"
)


def _check_invoices(connection: Connection) -> Iterator[Finding]:
    if names := list(connection.scalars(_AWAITING_INVOICE, {"limit": _SHOWN + 1})):
        says = "payments that name an invoice of which no event came for a day"
        remedy = "enable invoice.paid on Stripe's endpoint"
        yield warning("invoices", f"{says}, {remedy}: {_shorten(names)}")


_AWAITING_INVOICE = text(
    f"SELECT DISTINCT payment_ref FROM {NOTES} JOIN payments USING (party)"  # noqa: S608 - ours
    " WHERE kind = 'awaiting_invoice' AND payment_ref = name"
    " AND occurred_at < now() - interval '1 day' ORDER BY payment_ref LIMIT :limit"
)


def _check_users(connection: Connection) -> Iterator[Finding]:
    if count := connection.scalar(_PARTIES_WAITING):
        parties = format_count(count, "customer or payment names", "customers or payments name")
        remedy = "set metadata.user_id in Stripe, or say whose they are"
        shows = "`paidup links waiting` shows them"
        yield warning("users", f"{parties} no user: {remedy}; {shows}")


_PARTIES_WAITING = text(
    f"SELECT count(DISTINCT party) FROM {NOTES} WHERE kind = 'candidates'"  # noqa: S608 - our words
)


def _check_fetching(connection: Connection) -> Iterator[Finding]:
    if count := count_unfetched(connection):
        events = format_count(count, "event needs", "events need")
        says = f"{events} a fetch: set STRIPE_API_KEY, run `paidup replay --unfetched --reason WHY`"
        yield warning("fetching", says)


def _check_dead_letters(connection: Connection) -> Iterator[Finding]:
    dead = select(func.count(), func.min(DeadLetter.first_failed_at))
    count, oldest = connection.execute(dead.where(DeadLetter.state == "open")).one()
    if count:
        says = f"{format_count(count, 'event')} not applied, the oldest since {format_time(oldest)}"
        yield warning("dead letters", f"{says}: run `paidup dead list` to see which and why")


class UnplannedPrice(NamedTuple):
    """A price that is paid for and in no plan, and the users waiting for it."""

    price: str
    users: int
    without_user: int
    """Payers without a user id yet."""


def find_unplanned_prices(
    connection: Connection, reasons: Iterable[NoGrant] = IN_NO_PLAN, *, limit: int | None = None
) -> list[UnplannedPrice]:
    """Return prices that were sold and are in no plan, most waiting users first."""
    values = {"reasons": [why.value for why in reasons], "living": list(LIVING), "limit": limit}
    found = connection.execute(_UNSOLD, values)
    return [UnplannedPrice(*row) for row in found]


def _users(each: UnplannedPrice) -> str:
    waiting = format_count(each.users, "user waits", "users wait")
    return f"{waiting}, {each.without_user} not known as users" if each.without_user else waiting


# One event may name thousands of prices, so the prices of two tables are brought together by
# sorting them (the window), never by comparing each with each.
_UNSOLD = text(
    "WITH lacking AS (SELECT party, unknown_prices, without_grant FROM parties"
    " WHERE cardinality(unknown_prices) > 0), named AS ("
    " SELECT party, price, true AS unsold, NULL AS user_id, 0 AS payers"
    " FROM lacking, jsonb_each_text(without_grant) AS noted (price, why)"
    " WHERE why = ANY(:reasons)"
    " UNION ALL SELECT party, price, false, user_id, 1 FROM lacking JOIN subscriptions"
    " USING (party), LATERAL (SELECT DISTINCT unnest(prices) AS price) AS items"
    " WHERE status = ANY(:living)"
    " UNION ALL SELECT party, price, false, user_id, 1 FROM lacking JOIN purchases USING (party)"
    " WHERE status = 'paid' AND plan_code IS NULL AND price IS NOT NULL"
    # A product, a link or a plan's code is no price, so the purchase that named it has none.
    " UNION ALL SELECT party, unnest(unknown_prices), false, user_id, payers FROM lacking JOIN ("
    " SELECT party, user_id, count(*) AS payers FROM purchases"
    " WHERE status = 'paid' AND plan_code IS NULL AND price IS NULL GROUP BY party, user_id"
    " ) AS unpriced USING (party)"
    "), judged AS (SELECT price, user_id, payers,"
    " bool_or(unsold) OVER (PARTITION BY party, price) AS unsold FROM named)"
    " SELECT price, count(DISTINCT user_id),"
    " coalesce(sum(payers) FILTER (WHERE user_id IS NULL), 0)::bigint"
    " FROM judged WHERE unsold GROUP BY price ORDER BY 2 DESC, 1 LIMIT :limit"
)


def _names(connection: Connection, column: InstrumentedAttribute[list[str]]) -> list[str]:
    name = func.unnest(column).label("name")
    query = select(name).where(func.cardinality(column) > 0).distinct().order_by(name)
    return list(connection.scalars(query.limit(_SHOWN + 1)))


def _shorten(names: list[str]) -> str:
    return ", ".join(names if len(names) <= _SHOWN else [*names[:_SHOWN], "..."])
