"""What would change if parties were projected now: the ledger's own steps without the last one.

One statement reads everything of the parties, so what it sees fits together without a lock, and
nobody who works on them has to wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from billing.catalogue import Catalogue
from billing.ids import PartyId
from billing.rows import Projection
from runtime.ledger.batch_state import Book
from runtime.ledger.catalogues import Record
from runtime.ledger.decisions import Decision
from runtime.ledger.load import load
from runtime.ledger.rows import Rows

NO_VERSION = 0
"""Of plans that are not on record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """One party: its rows as they stand, what a projection says, and the way from one to other."""

    party: PartyId
    before: Rows
    projection: Projection
    decisions: tuple[Decision, ...]


def outlook(
    connection: Connection, catalogue: Catalogue, parties: Sequence[PartyId]
) -> list[Outlook]:
    """What these plans would make of these parties at this moment."""
    now = connection.execute(text("SELECT now()")).scalar_one()
    stored = load(connection, parties)
    before = {party: each.rows for party, each in stored.items()}
    book = Book(stored, record=Record(version=NO_VERSION, catalogue=catalogue), now=now)
    return [_of(book, party, before[party]) for party in parties]


def _of(book: Book, party: PartyId, before: Rows) -> Outlook:
    account = book.accounts[party]
    decisions = book.project(account)
    assert account.projection is not None, "it was just made"  # noqa: S101 - for the reader
    return Outlook(party=party, before=before, projection=account.projection, decisions=decisions)
