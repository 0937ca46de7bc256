"""Notes about payments, wherever they stand: in the row of their party or with their archive.

All queries for notes of these kinds (``billing.archiving.leaving``) begin here, so that none
forgets the archived ones.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Connection, text

from billing.archiving.leaving import NoteKind

# Each condition is one of ``LACKING`` in ``models.events``, so its index finds the parties.
NOTES: Final = """(
    SELECT party, 'without_grant' AS kind, name, value
    FROM parties CROSS JOIN LATERAL jsonb_each(without_grant) AS noted (name, value)
    WHERE without_grant <> '{}'
    UNION ALL
    SELECT party, 'candidates', name, value
    FROM parties CROSS JOIN LATERAL jsonb_each(candidates) AS noted (name, value)
    WHERE waiting
    UNION ALL
    SELECT party, 'without_line_items', name, NULL
    FROM parties CROSS JOIN LATERAL unnest(without_line_items) AS noted (name)
    WHERE without_line_items <> '{}'
    UNION ALL
    SELECT party, 'awaiting_invoice', name, NULL
    FROM parties CROSS JOIN LATERAL unnest(awaiting_invoice) AS noted (name)
    WHERE awaiting_invoice <> '{}'
    UNION ALL
    SELECT party, kind, name, value FROM archive_notes
) AS notes"""
"""Every note with its party, kind, name and value, to select from."""


def notes_of_parties(
    connection: Connection, parties: Collection[str]
) -> Mapping[str, Mapping[NoteKind, Mapping[str, Any]]]:
    """Return the notes of each of these parties: of each kind the values by name."""
    notes: dict[str, dict[NoteKind, dict[str, Any]]] = {
        party: {kind: {} for kind in NoteKind} for party in parties
    }
    for party, kind, name, value in connection.execute(_OF_PARTIES, {"parties": sorted(parties)}):
        notes[party][NoteKind(kind)][name] = value
    return notes


_OF_PARTIES = text(f"SELECT party, kind, name, value FROM {NOTES} WHERE party = ANY(:parties)")  # noqa: S608
