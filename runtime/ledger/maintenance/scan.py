"""All parties, page by page, each page as the database is when it is read.

Pages continue after a name and not at an offset: parties that are added, merged or finished
meanwhile make no page skip another party.
"""

from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import Connection, Engine, text

from billing.ids import EventId, PartyId
from runtime.database.deadline import reading_at_length
from runtime.ledger.rows import TableName

PAGE: Final = 200

Page = Callable[[Connection, str, int], list[PartyId]]
"""Returns the next parties after a name, in the order of names; none at the end."""


def pages(engine: Engine, page: Page, *, size: int = PAGE) -> Iterator[list[PartyId]]:
    """Yield all pages; no transaction is open between two of them."""
    after = ""
    while True:
        with engine.connect() as connection, reading_at_length(connection):
            found = page(connection, after, size)
        if not found:
            return
        yield found
        after = found[-1]


def events_without_facts(engine: Engine, *, size: int = PAGE) -> Iterator[list[EventId]]:
    """Yield settled events without facts, in pages by id that may be empty."""
    after = ""
    while True:
        with engine.connect() as connection, reading_at_length(connection):
            page = connection.execute(_SILENT, {"after": after, "limit": size}).all()
        if not page:
            return
        yield [EventId(event_id) for event_id, is_silent in page if is_silent]
        after = page[-1][0]


def projected_parties(connection: Connection, after: str, limit: int) -> list[PartyId]:
    """Return parties that were projected at least once."""
    return _found(connection, _PROJECTED, after=after, limit=limit)


def named_parties(connection: Connection, after: str, limit: int) -> list[PartyId]:
    """Return parties that any object or row belongs to, projected or not."""
    return _found(connection, _NAMED, after=after, limit=limit)


def outdated_parties(connection: Connection, after: str, limit: int) -> list[PartyId]:
    """Return parties that were projected by older plans than those in force."""
    return _found(connection, _OUTDATED, after=after, limit=limit)


def parties_with_ended_purchases(connection: Connection, after: str, limit: int) -> list[PartyId]:
    """Return parties of which a purchase, or a line of one, has ended."""
    return _found(connection, _ENDED_PURCHASES, after=after, limit=limit)


def count_projected(connection: Connection) -> int:
    """Count the parties that were projected at least once."""
    return int(connection.scalar(text("SELECT count(*) FROM parties")) or 0)


def count_named(connection: Connection) -> int:
    """Count the parties that any object belongs to."""
    query = "SELECT count(DISTINCT party) FROM memberships"
    return int(connection.scalar(text(query)) or 0)


def count_outdated(connection: Connection) -> int:
    """Count the parties that were projected by older plans than those in force."""
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
_ENDED_PURCHASES = (
    "SELECT DISTINCT party FROM purchases WHERE party > :after AND (ends_at <= now() OR EXISTS"
    " (SELECT FROM user_entitlements AS granted WHERE granted.party = purchases.party"
    " AND granted.source = purchases.purchase_ref AND granted.expires_at <= now()))"
    " ORDER BY party LIMIT :limit"
)
_SILENT = text(
    "SELECT id, NOT EXISTS (SELECT FROM facts"
    "  WHERE event_id = ANY (array_append(stripe_events.observations, stripe_events.id)))"
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
