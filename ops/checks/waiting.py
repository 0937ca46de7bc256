"""What Stripe told us that has no effect yet, and what it takes: never an error, never silent."""

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import InstrumentedAttribute

from models.dead_letters import DeadLetter
from models.events import Party
from ops.findings import Finding, warning

_SHOWN = 5
_LACKING: Mapping[str, tuple[InstrumentedAttribute[list[str]], str]] = {
    "prices": (Party.unknown_prices, "sold, and in no plan, so that they grant nothing"),
    "subscriptions": (
        Party.missing_subscriptions,
        "known from a checkout only: send customer.subscription.* events to the endpoint",
    ),
    "features": (
        Party.incomplete_summaries,
        "customers whose list of Stripe features was cut off: STRIPE_API_KEY lets it be fetched",
    ),
    "order": (
        Party.undecided,
        "changed twice in one second, and which came last was guessed: STRIPE_API_KEY tells",
    ),
}


def check_waiting(connection: Connection) -> Iterator[Finding]:
    """Everything that is known and lacks something, with names to look for."""
    for check, (column, says) in _LACKING.items():
        if names := _names(connection, column):
            yield warning(check, f"{says}: {', '.join(names)}")
    waiting = select(func.count()).select_from(Party).where(Party.waiting)
    if count := connection.scalar(waiting):
        says = f"{count} customers or payments name no user yet: metadata.user_id will tell"
        yield warning("users", says)
    dead = select(func.count()).select_from(DeadLetter).where(DeadLetter.state == "open")
    if count := connection.scalar(dead):
        says = f"{count} could not be applied: `paidup dead list` says which and why"
        yield warning("dead letters", says)


def _names(connection: Connection, column: InstrumentedAttribute[list[str]]) -> list[str]:
    name = func.unnest(column).label("name")
    query = select(name).where(func.cardinality(column) > 0).distinct().order_by(name)
    names = list(connection.scalars(query.limit(_SHOWN + 1)))
    return [*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])]
