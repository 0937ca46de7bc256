"""Every party in turn, page by page, each page as the database is when it is asked for.

By name and not by offset: what is added, merged or done meanwhile makes no page skip another.
"""

from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import Connection, Engine, text

from billing.ids import EventId, PartyId
from runtime.ledger.rows import TableName

PAGE: Final = 200

Page = Callable[[Connection, str, int], list[PartyId]]
"""The next parties after a name, in the order of names; none at the end."""


def walk(engine: Engine, page: Page, *, size: int = PAGE) -> Iterator[list[PartyId]]:
    """All pages; no transaction is open between two of them."""
    after = ""
    while True:
        with engine.connect() as connection:
            found = page(connection, after, size)
        if not found:
            return
        yield found
        after = found[-1]


def silent(engine: Engine, *, size: int = PAGE) -> Iterator[list[EventId]]:
    """Settled events that state nothing, by name: a look at so many at a time finds few or none."""
    after = ""
    while True:
        with engine.connect() as connection:
            seen = connection.execute(_SILENT, {"after": after, "limit": size}).all()
        if not seen:
            return
        yield [EventId(event_id) for event_id, is_silent in seen if is_silent]
        after = seen[-1][0]


def projected(connection: Connection, after: str, limit: int) -> list[PartyId]:
    """Those that were ever projected."""
    return _found(connection, _PROJECTED, after=after, limit=limit)


def named(connection: Connection, after: str, limit: int) -> list[PartyId]:
    """Those that any object or any row belongs to, projected or not."""
    return _found(connection, _NAMED, after=after, limit=limit)


def outdated(connection: Connection, after: str, limit: int) -> list[PartyId]:
    """Those that follow an older catalogue than that of record."""
    return _found(connection, _OUTDATED, after=after, limit=limit)


def count_projected(connection: Connection) -> int:
    """How many there are."""
    return int(connection.scalar(text("SELECT count(*) FROM parties")) or 0)


def count_named(connection: Connection) -> int:
    """How many any object belongs to."""
    query = "SELECT count(DISTINCT party) FROM memberships"
    return int(connection.scalar(text(query)) or 0)


def count_outdated(connection: Connection) -> int:
    """How many follow an older catalogue than that of record."""
    return int(connection.scalar(_COUNT_OUTDATED) or 0)


_NEWEST = "(SELECT max(version) FROM catalogues)"
_COUNT_OUTDATED = text(
    f"SELECT count(*) FROM parties WHERE catalogue_version < {_NEWEST}"  # noqa: S608 - ours
)
_PROJECTED = "SELECT party FROM parties WHERE party > :after ORDER BY party LIMIT :limit"
_OUTDATED = (
    f"SELECT party FROM parties WHERE party > :after AND catalogue_version < {_NEWEST}"  # noqa: S608
    " ORDER BY party LIMIT :limit"
)
_SILENT = text(
    "SELECT id, NOT EXISTS (SELECT FROM facts WHERE event_id = stripe_events.id)"
    " FROM stripe_events WHERE id > :after ORDER BY id LIMIT :limit"
)
_NAMED = (
    "SELECT party FROM ("  # noqa: S608 - our own names
    + " UNION ".join(
        f"(SELECT DISTINCT party FROM {table} WHERE party > :after ORDER BY party LIMIT :limit)"  # noqa: S608
        for table in ("memberships", "parties", *TableName)
    )
    + ") AS every ORDER BY party LIMIT :limit"
)


def _found(connection: Connection, query: str, *, after: str, limit: int) -> list[PartyId]:
    rows = connection.scalars(text(query), {"after": after, "limit": limit})
    return [PartyId(party) for party in rows]
