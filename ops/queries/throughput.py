"""Count the events settled since a time, without reading the table.

Events are numbered as they are settled. A binary search finds the first number after the time,
and the index counts the numbers from there on. Transactions that commit out of order blur the
edge by the length of a batch.
"""

from datetime import datetime

from sqlalchemy import Connection, func, select

from models.tables import StripeEvent


def settled_since(connection: Connection, moment: datetime) -> int:
    """Return how many events were settled since then, without replays of older events."""
    first = _first_since(connection, moment)
    query = select(func.count()).select_from(StripeEvent)
    return connection.execute(query.where(StripeEvent.settlement >= first)).scalar_one()


def _first_since(connection: Connection, moment: datetime) -> int:
    """Return the lowest number from which on every event was settled since the time."""
    highest = connection.scalar(select(func.max(StripeEvent.settlement))) or 0
    low, high = 0, highest + 1
    while low < high:
        middle = (low + high) // 2
        at = connection.scalar(
            select(StripeEvent.applied_at)
            .where(StripeEvent.settlement >= middle)
            .order_by(StripeEvent.settlement)
            .limit(1)
        )
        if at is None or at >= moment:
            high = middle
        else:
            low = middle + 1
    return low
