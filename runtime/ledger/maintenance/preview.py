"""Preview of a projection by other plans: the ledger's own steps without the last one.

One statement reads everything of the parties, so their state is consistent without a lock, and
no transaction that works on them has to wait.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from billing.catalogue import Catalogue
from billing.ids import PartyId
from billing.rows import Projection
from runtime.ledger.batch_state import BatchState
from runtime.ledger.catalogues import VersionedCatalogue
from runtime.ledger.decisions import Decision
from runtime.ledger.load import load
from runtime.ledger.rows import Rows

NO_VERSION = 0
"""The version of plans that were not applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyPreview:
    """One party: its rows now, its projection, and the decisions between the two."""

    party: PartyId
    before: Rows
    projection: Projection
    decisions: tuple[Decision, ...]
    now: datetime
    """The time for which it was projected."""


def preview_parties(
    connection: Connection, catalogue: Catalogue, parties: Sequence[PartyId]
) -> list[PartyPreview]:
    """Return what these plans would make of these parties now."""
    now = connection.execute(text("SELECT now()")).scalar_one()
    stored = load(connection, parties)
    before = {party: each.rows for party, each in stored.items()}
    batch = BatchState(
        stored, plans=VersionedCatalogue(version=NO_VERSION, catalogue=catalogue), now=now
    )
    return [_of(batch, party, before[party], now) for party in parties]


def _of(batch: BatchState, party: PartyId, before: Rows, now: datetime) -> PartyPreview:
    party_state = batch.parties[party]
    decisions = batch.project(party_state)
    assert party_state.projection is not None, "it was just made"  # noqa: S101 - for the reader
    return PartyPreview(
        party=party,
        before=before,
        projection=party_state.projection,
        decisions=decisions,
        now=now,
    )
