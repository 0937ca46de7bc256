"""Events of earlier releases read again: by their readers' number, until every party is up to date.

A release that reads more than the one before raises ``READER_NUMBER``. The rows of a party stay as
they are until its events are read again: when the next event touches it, or by a job that goes on
where it was interrupted, because ``parties`` records what is done. Events that no reader knew when
they came are read again, too.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, Engine, text

from billing.facts import READER_NUMBER
from billing.ids import EventId, PartyId
from billing.readers.registry import HANDLED_TYPES, IgnoredReason
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.errors import FactsOutdated
from runtime.ledger.maintenance.rebuild import Rebuilder, Rebuilt
from runtime.ledger.prepare import Scope

ACTOR: Final = "paidup"
RELEASE: Final = "release"
"""The origin of changes that today's readers make in what earlier ones read."""

MAX_PARTIES: Final = 50
"""Parties read again in one transaction."""

MAX_EVENTS: Final = 500
"""Events read again in one transaction, as far as several parties are concerned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutdatedCount:
    """The number of parties with facts of earlier readers, and of events that none of them knew."""

    parties: int
    events: int


@dataclass(slots=True, kw_only=True)
class OutdatedFacts:
    """Reads again what earlier readers read; several processes may do it at once."""

    engine: Engine
    scope: Scope
    catalogues: CatalogueCache = field(default_factory=CatalogueCache)
    _at_once: int = MAX_PARTIES
    _skipped: set[PartyId] = field(default_factory=set)
    """Parties that could not be read; they are tried again after all others."""

    def read_parties(self, parties: Collection[PartyId]) -> Rebuilt:
        """Read every event of these parties again, and compute their rows."""
        return self._rebuilder().from_events(sorted(parties))

    def read_next(self) -> int:
        """Read the next events that no reader knew, else the next parties; return how many.

        Returns 0 once nothing is left.
        """
        with self.engine.connect() as connection:
            events = _unknown_events(connection)
            parties = [] if events else _next_parties(connection, self._at_once, self._skipped)
        if events:
            self._read_events(events)
        elif parties:
            self._read_next_parties(parties)
        else:
            self._skipped.clear()
        return len(events) + len(parties)

    def _read_next_parties(self, parties: Sequence[PartyId]) -> None:
        """Read these parties; after an error the next call takes one alone, and then skips it."""
        self._at_once = 1
        self._skipped.update(parties if len(parties) == 1 else ())
        self.read_parties(parties)
        self._skipped.difference_update(parties)
        self._at_once = MAX_PARTIES

    def _read_events(self, events: Sequence[EventId]) -> None:
        rebuilder = self._rebuilder()
        try:
            kept = rebuilder.events(events).kept
        except FactsOutdated as outdated:
            for party in sorted(outdated.parties):
                self.read_parties([party])
            kept = rebuilder.events(events).kept
        if kept:  # bodies that still cannot be read: without this they would be read for ever
            with self.engine.begin() as connection:
                connection.execute(_STATES_NOTHING, {"ids": sorted(kept)})

    def _rebuilder(self) -> Rebuilder:
        return Rebuilder(
            engine=self.engine,
            catalogues=self.catalogues,
            scope=self.scope,
            actor=ACTOR,
            reason=f"read again by the readers of this release ({READER_NUMBER})",
            dry_run=False,
            origin=RELEASE,
        )


def count_outdated(connection: Connection) -> OutdatedCount:
    """Return how many parties and events wait to be read again."""
    row = connection.execute(_COUNT, {"reader": READER_NUMBER, "types": _TYPES}).one()
    return OutdatedCount(parties=row.parties, events=row.events)


def _unknown_events(connection: Connection) -> list[EventId]:
    found = connection.scalars(_UNKNOWN, {"types": _TYPES, "limit": MAX_EVENTS})
    return [EventId(event_id) for event_id in found]


def _next_parties(
    connection: Connection, limit: int, skipped: Collection[PartyId]
) -> list[PartyId]:
    """Return the next outdated parties, as many as one transaction should hold, at least one."""
    chosen: list[PartyId] = []
    events = 0
    values = {"reader": READER_NUMBER, "limit": limit, "skipped": sorted(skipped)}
    rows = connection.execute(_NEXT, values)
    for party, stated in rows:
        events += stated
        if chosen and events > MAX_EVENTS:
            break
        chosen.append(PartyId(party))
    return chosen


_TYPES: Sequence[str] = sorted(HANDLED_TYPES)
_UNKNOWN = text(
    f"SELECT id FROM stripe_events WHERE reason = '{IgnoredReason.UNKNOWN_TYPE}'"  # noqa: S608 - ours
    " AND type = ANY(:types) ORDER BY type, id LIMIT :limit"
)
_STATES_NOTHING = text(
    f"UPDATE stripe_events SET reason = '{IgnoredReason.NOTHING_STATED}'"  # noqa: S608 - ours
    f" WHERE id = ANY(:ids) AND reason = '{IgnoredReason.UNKNOWN_TYPE}'"
)
_NEXT = text(
    "SELECT party, (SELECT count(*) FROM facts WHERE facts.party = parties.party)"
    " FROM parties WHERE reader < :reader AND party <> ALL(CAST(:skipped AS text[]))"
    " ORDER BY reader, party LIMIT :limit"
)
_COUNT = text(
    "SELECT (SELECT count(*) FROM parties WHERE reader < :reader) AS parties,"  # noqa: S608 - ours
    f" (SELECT count(*) FROM stripe_events WHERE reason = '{IgnoredReason.UNKNOWN_TYPE}'"
    " AND type = ANY(:types)) AS events"
)
