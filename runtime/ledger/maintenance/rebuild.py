"""Rows computed again from stored facts, or from the stored bodies of events.

Differences are written and audited as any other change; rows that do not differ stay untouched.
Everything of some parties is one transaction, so that no reader sees half of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, text

from billing.facts import Fact
from billing.families import STATED_BY_PEOPLE
from billing.ids import EventId, ObjectKey, PartyId
from billing.rows import Key
from runtime.ledger.admit import open_transaction
from runtime.ledger.batch_state import BatchState
from runtime.ledger.catalogues import OPERATOR, CatalogueCache
from runtime.ledger.decisions import Decision
from runtime.ledger.errors import FactsOutdated, LocksOutOfOrder
from runtime.ledger.load import Stored, load
from runtime.ledger.locks import lock, secure, time_under_locks
from runtime.ledger.maintenance.archive_check import wrong_archives
from runtime.ledger.maintenance.archive_updates import updates_in_progress
from runtime.ledger.maintenance.repair import Reprojected, history_of, reproject_batch, versions_of
from runtime.ledger.maintenance.reread import Reread, RereadBodies, read_bodies_again
from runtime.ledger.prepare import Scope
from runtime.ledger.stored_statements import stated_facts
from runtime.ledger.write import ChangeCause, PendingWrites, write
from runtime.time_limits import IDLE_IN_TRANSACTION_SECONDS

MAX_TRIES: Final = 8

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Rebuilt:
    """The differences found, and written unless it was a dry run."""

    parties: int = 0
    events: int = 0
    """Bodies that were read again, of events and of what Stripe's API showed for none."""
    restated: list[EventId] = field(default_factory=list)
    """Events that state something else by today's readers."""
    kept: dict[str, str] = field(default_factory=dict)
    """Events that were left as they were, with the reason."""
    decisions: list[Decision] = field(default_factory=list)
    archives: list[PartyId] = field(default_factory=list)
    """Parties whose archives were not what their facts say."""
    updating: list[PartyId] = field(default_factory=list)
    """Parties whose archives were being updated in steps, so that they differed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilder:
    """Rebuilds on behalf of an operator or of a release; ``dry_run`` rolls everything back.

    ``idle_seconds`` bounds the time in which a transaction computes rows.
    """

    engine: Engine
    catalogues: CatalogueCache
    scope: Scope
    actor: str
    reason: str | None
    dry_run: bool
    origin: str = OPERATOR
    idle_seconds: float = IDLE_IN_TRANSACTION_SECONDS

    def from_facts(self, parties: Sequence[PartyId]) -> Rebuilt:
        """Compute the rows of these parties again; read those events again that have to be."""
        try:
            return self._in_one_transaction(lambda connection: self._rows(connection, parties))
        except FactsOutdated:
            return self.from_events(parties)

    def from_events(self, parties: Sequence[PartyId]) -> Rebuilt:
        """Read again every event with facts of these parties, then compute their rows.

        Other parties that these events concern are read again as well if they have to be.
        """
        chosen = set(parties)
        for _ in range(MAX_TRIES - 1):
            try:
                return self._events_of(sorted(chosen))
            except FactsOutdated as outdated:
                chosen |= outdated.parties
        return self._events_of(sorted(chosen))

    def _events_of(self, parties: Sequence[PartyId]) -> Rebuilt:
        with self.engine.connect() as connection:
            ids = connection.scalars(_EVENTS_OF, {"parties": list(parties)}).all()
        return self.events([EventId(each) for each in ids], parties)

    def events(self, ids: Sequence[EventId], parties: Sequence[PartyId] = ()) -> Rebuilt:
        """Read these settled events again, and compute the rows of every party they concern.

        All events of ``parties`` must be among them, and observations that no event asked for.

        Raises:
            FactsOutdated: earlier readers wrote facts of another party that they concern.
        """
        with self.engine.connect() as connection:
            bodies = read_bodies_again(connection, self.scope, ids)
        return self._in_one_transaction(
            lambda connection: self._restated(connection, bodies, parties)
        )

    def _in_one_transaction(self, work: Callable[[Connection], T]) -> T:
        for attempt in range(MAX_TRIES):
            with self.engine.connect() as connection:
                try:
                    done = work(connection)
                except LocksOutOfOrder:
                    if attempt == MAX_TRIES - 1:
                        raise
                    continue
                if not self.dry_run:
                    connection.commit()
                return done
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _rows(self, connection: Connection, parties: Sequence[PartyId]) -> Rebuilt:
        open_transaction(connection, idle_seconds=self.idle_seconds)
        lock(connection, parties, above=())
        now = time_under_locks(connection)
        known = _parties_with_objects(connection, parties)
        stored = load(connection, parties)
        there = {party: each for party, each in stored.items() if party in known or _rows_of(each)}
        pending = PendingWrites()
        _state_again(connection, there, pending)
        batch = BatchState(there, plans=self.catalogues.current(connection), now=now)
        rebuilt = Rebuilt(parties=len(known))
        self._settle(connection, batch, pending, rebuilt, known=known, ends={})
        return rebuilt

    def _restated(
        self, connection: Connection, bodies: RereadBodies, parties: Sequence[PartyId]
    ) -> Rebuilt:
        open_transaction(connection, idle_seconds=self.idle_seconds)
        known = _parties_with_objects(connection, parties)
        reread = Reread.of(connection, bodies)
        mentions = [*reread.mentions(), *(frozenset({ObjectKey(each)}) for each in known)]
        secured = secure(connection, mentions)
        now = time_under_locks(connection)
        stored = load(connection, secured.stored, read_again=parties)
        pending = PendingWrites()
        _state_again(connection, stored, pending)
        batch = BatchState(stored, plans=self.catalogues.current(connection), now=now)
        rebuilt = Rebuilt(events=len(reread.read), kept=dict(reread.kept))
        reread.carry_out(connection, batch, pending, secured)
        rebuilt.restated = list(pending.restated)
        rebuilt.parties = len(batch.parties)
        every_party = frozenset(batch.parties)
        self._settle(connection, batch, pending, rebuilt, known=every_party, ends=secured.ends)
        return rebuilt

    def _settle(
        self,
        connection: Connection,
        batch: BatchState,
        pending: PendingWrites,
        rebuilt: Rebuilt,
        *,
        known: frozenset[PartyId],
        ends: Mapping[PartyId, PartyId],
    ) -> None:
        cause = ChangeCause(
            actor=self.actor, origin=self.origin, occurred_at=batch.now, reason=self.reason
        )
        versions = versions_of(connection, [*batch.parties, *ends])
        reprojected = reproject_batch(batch)
        updates = updates_in_progress(connection, batch.parties)
        rebuilt.updating += [each.party for each in updates]
        rebuilt.archives += [] if ends else wrong_archives(connection, batch, rebuilt.updating)
        history = history_of(connection, _payments_of(reprojected))
        for each in reprojected:
            decisions = list(each.decisions(batch.plans, history, versions))
            pending.add(cause, each.party, decisions)
            rebuilt.decisions += decisions
            if each.party not in known:
                # No object belongs to it: its rows are deleted and no party is written.
                each.party_state.projection = None
        write(connection, pending, batch, ends)


def _payments_of(reprojected: Sequence[Reprojected]) -> frozenset[Key]:
    return frozenset().union(*(each.payments() for each in reprojected))


def _parties_with_objects(connection: Connection, parties: Sequence[PartyId]) -> frozenset[PartyId]:
    found = connection.scalars(_WITH_OBJECTS, {"parties": list(parties)})
    return frozenset(PartyId(party) for party in found)


def _state_again(
    connection: Connection, stored: Mapping[PartyId, Stored], pending: PendingWrites
) -> None:
    """Replace what people stated by what their table says, where the facts differ from it."""
    stated = stated_facts(connection, stored)
    for party, each in stored.items():
        today = stated.get(party, [])
        before = [fact for fact in each.facts if fact.kind in STATED_BY_PEOPLE]
        if sorted(before, key=_statement_id) == sorted(today, key=_statement_id):
            continue
        others = [fact for fact in each.facts if fact.kind not in STATED_BY_PEOPLE]
        each.facts = [*others, *today]
        pending.restated += [fact.event_id for fact in (*before, *today)]
        pending.facts += [(party, fact) for fact in today]


def _statement_id(fact: Fact) -> EventId:
    return fact.event_id


def _rows_of(stored: Stored) -> bool:
    return bool(stored.facts) or any(stored.rows.values())


_WITH_OBJECTS = text("SELECT DISTINCT party FROM memberships WHERE party = ANY(:parties)")
_EVENTS_OF = text(
    "SELECT DISTINCT coalesce(seen.event_id, facts.event_id) FROM facts"
    " LEFT JOIN api_observations AS seen ON seen.id = facts.event_id"
    " WHERE facts.party = ANY(:parties) ORDER BY 1"
)
"""What the API showed is read again with the event for which it was asked first, else by itself."""
