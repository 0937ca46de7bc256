"""Check that what a party is loaded with, without its archives, leads to the same rows.

Archives are derived, as rows are: they follow from facts, and a rebuild makes them again.
"""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection

from billing.archiving.dependencies import dependencies_of, still_hold
from billing.ids import PartyId
from billing.projection.party import PartyFacts
from runtime.ledger.batch_state import BatchState, PartyState
from runtime.ledger.load import Stored, load_without_archives
from runtime.ledger.rows import TableName, rows_of


def wrong_archives(connection: Connection, batch: BatchState) -> list[PartyId]:
    """Return the parties whose archives are not what their facts say, of those just projected.

    Those that wait for other plans are left out: they are loaded whole until then.
    """
    with_archives = {
        party: each
        for party, each in batch.parties.items()
        if each.archives.until and each.catalogue_version == batch.plans.version
    }
    stored = load_without_archives(connection, with_archives)
    return [
        party
        for party, each in sorted(with_archives.items())
        if not _leads_to_the_same(stored[party], each, batch)
    ]


def _leads_to_the_same(stored: Stored, whole: PartyState, batch: BatchState) -> bool:
    facts = PartyFacts(stored.facts)
    rows = rows_of(facts.project(batch.plans.catalogue, batch.now))
    until = stored.archived_until
    for table in TableName:
        if rows[table].keys() != stored.rows[table].keys():
            return False
        if any(whole.rows[table].get(key) != row for key, row in rows[table].items()):
            return False
    return until is not None and still_hold(stored.dependencies, dict(_now(facts, until)))


def _now(facts: PartyFacts, until: datetime) -> Iterator[tuple[str, str]]:
    for realm in facts.realms:
        yield from dependencies_of(realm, until).items()
