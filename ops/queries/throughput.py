"""How many events were settled lately, without reading the table.

Events are numbered as they are settled, so the first one after some moment is found by halving
the range of numbers, and those after it are counted in the index. Transactions that commit
out of order blur the edge by the length of a batch.
"""

from datetime import datetime

from sqlalchemy import Connection, func, select

from models.tables import StripeEvent


def settled_since(connection: Connection, moment: datetime) -> int:
    """How many events were settled since then, replays of older ones apart."""
    first = _first_since(connection, moment)
    query = select(func.count()).select_from(StripeEvent)
    return connection.execute(query.where(StripeEvent.settlement >= first)).scalar_one()


def _first_since(connection: Connection, moment: datetime) -> int:
    """The lowest number from which on everything was settled since the moment."""
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
