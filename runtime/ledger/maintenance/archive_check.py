"""Check that what a party is loaded with, without its archives, leads to the same rows.

Archives are derived, as rows are: they follow from facts, and a rebuild makes them again.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection

from billing.archiving.dependencies import dependencies_of, still_hold
from billing.archiving.leaving import NoteKind, notes_of
from billing.ids import PartyId
from billing.projection.party import PartyFacts
from runtime.ledger.batch_state import BatchState, PartyState
from runtime.ledger.load import Stored, load_without_archives
from runtime.ledger.notes import notes_of_parties
from runtime.ledger.rows import TableName, rows_of


def wrong_archives(
    connection: Connection, batch: BatchState, updating: Collection[PartyId]
) -> list[PartyId]:
    """Return the parties whose archives are not what their facts say, of those just projected.

    Those that wait for other plans, and those that are updated in steps, are left out.
    """
    with_archives = {
        party: each
        for party, each in batch.parties.items()
        if each.archives.until
        and each.catalogue_version == batch.plans.version
        and party not in updating
    }
    stored = load_without_archives(connection, with_archives)
    noted = notes_of_parties(connection, with_archives)
    return [
        party
        for party, each in sorted(with_archives.items())
        if noted[party] != _notes_of(each) or not _leads_to_the_same(stored[party], each, batch)
    ]


def _notes_of(whole: PartyState) -> dict[NoteKind, dict[str, Any]]:
    """Return the notes of a party as the tables hold them."""
    assert whole.projection is not None, "it was just projected"  # noqa: S101 - for the reader
    notes: dict[NoteKind, dict[str, Any]] = {kind: {} for kind in NoteKind}
    for (kind, name), value in notes_of(whole.projection).items():
        notes[kind][name] = list(value) if isinstance(value, tuple) else value
    return notes


def _leads_to_the_same(stored: Stored, whole: PartyState, batch: BatchState) -> bool:
    facts = PartyFacts(stored.facts)
    rows = rows_of(facts.project(batch.plans.catalogue, batch.now))
    until = stored.archived_until
    for table in TableName:
        if rows[table].keys() != stored.rows[table].keys():
            return False
        if any(whole.rows[table].get(key) != row for key, row in rows[table].items()):
            return False
    return until is not None and still_hold(
        stored.dependencies, dependencies_of(facts.realms, until)
    )
