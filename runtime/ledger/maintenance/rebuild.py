"""Rows computed again from what is kept: from facts, or from the very bodies Stripe sent.

What is found to differ is written and audited as any other change is; what does not differ stays
untouched. Everything of some parties is one transaction, so that nobody ever sees half of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, text

from billing.ids import EventId, ObjectKey, PartyId
from runtime.ledger.admit import open_transaction
from runtime.ledger.batch_state import Book
from runtime.ledger.catalogues import OPERATOR, Catalogues
from runtime.ledger.decisions import Decision
from runtime.ledger.errors import LocksOutOfOrder
from runtime.ledger.load import Stored, load
from runtime.ledger.locks import lock, secure
from runtime.ledger.maintenance.repair import history_of, projected, versions_of
from runtime.ledger.maintenance.reread import Reread, Restating, reread
from runtime.ledger.prepare import Scope
from runtime.ledger.write import Cause, Draft, write

MOST_TRIES: Final = 8

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Rebuilt:
    """What was found to differ, and is written by now unless it was a dry run."""

    parties: int = 0
    events: int = 0
    """Bodies that were read again."""
    restated: list[EventId] = field(default_factory=list)
    """Events that state something else by today's readers."""
    kept: dict[str, str] = field(default_factory=dict)
    """Events that were left as they were, and why."""
    decisions: list[Decision] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilder:
    """Rebuilds on somebody's word; with ``dry_run`` it takes everything back."""

    engine: Engine
    catalogues: Catalogues
    scope: Scope
    actor: str
    reason: str | None
    dry_run: bool

    def from_facts(self, parties: Sequence[PartyId]) -> Rebuilt:
        """Compute the rows of these parties again."""
        return self._in_one_go(lambda connection: self._rows(connection, parties))

    def from_events(self, parties: Sequence[PartyId]) -> Rebuilt:
        """Read again every event that states something of these parties, then compute rows."""
        with self.engine.connect() as connection:
            ids = connection.scalars(_EVENTS_OF, {"parties": list(parties)}).all()
        return self.events([EventId(each) for each in ids], parties)

    def events(self, ids: Sequence[EventId], parties: Sequence[PartyId] = ()) -> Rebuilt:
        """Read these settled events again, and compute all they are about."""
        with self.engine.connect() as connection:
            bodies = reread(connection, self.scope, ids)
        return self._in_one_go(lambda connection: self._restated(connection, bodies, parties))

    def _in_one_go(self, work: Callable[[Connection], T]) -> T:
        for attempt in range(MOST_TRIES):
            with self.engine.connect() as connection:
                try:
                    done = work(connection)
                except LocksOutOfOrder:
                    if attempt == MOST_TRIES - 1:
                        raise
                    continue
                if not self.dry_run:
                    connection.commit()
                return done
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _rows(self, connection: Connection, parties: Sequence[PartyId]) -> Rebuilt:
        now = open_transaction(connection).now
        lock(connection, parties, above=())
        known = _known(connection, parties)
        stored = load(connection, parties)
        there = {party: each for party, each in stored.items() if party in known or _rows_of(each)}
        book = Book(there, record=self.catalogues.current(connection), now=now)
        rebuilt = Rebuilt(parties=len(known))
        self._settle(connection, book, Draft(), rebuilt, known=known, ends={})
        return rebuilt

    def _restated(
        self, connection: Connection, bodies: Reread, parties: Sequence[PartyId]
    ) -> Rebuilt:
        now = open_transaction(connection).now
        known = _known(connection, parties)
        restating = Restating.of(connection, bodies)
        mentions = [*restating.mentions(), *(frozenset({ObjectKey(each)}) for each in known)]
        secured = secure(connection, mentions)
        stored = load(connection, secured.stored)
        book = Book(stored, record=self.catalogues.current(connection), now=now)
        rebuilt = Rebuilt(events=len(restating.entering), kept=dict(restating.kept))
        draft = Draft()
        restating.carry_out(connection, book, draft, secured)
        rebuilt.restated = list(draft.restated)
        rebuilt.parties = len(book.accounts)
        everybody = frozenset(book.accounts)
        self._settle(connection, book, draft, rebuilt, known=everybody, ends=secured.ends)
        return rebuilt

    def _settle(
        self,
        connection: Connection,
        book: Book,
        draft: Draft,
        rebuilt: Rebuilt,
        *,
        known: frozenset[PartyId],
        ends: Mapping[PartyId, PartyId],
    ) -> None:
        cause = Cause(actor=self.actor, origin=OPERATOR, occurred_at=book.now, reason=self.reason)
        versions = versions_of(connection, [*book.accounts, *ends])
        anew = projected(book)
        history = history_of(connection, frozenset().union(*(each.payments() for each in anew)))
        for each in anew:
            decisions = list(each.decisions(book.record, history, versions))
            draft.obey(cause, each.party, decisions)
            rebuilt.decisions += decisions
            if each.party not in known:
                each.account.projection = None  # rows of nobody: they go, and no party comes of it
        write(connection, draft, book, ends)


def _known(connection: Connection, parties: Sequence[PartyId]) -> frozenset[PartyId]:
    found = connection.scalars(_KNOWN, {"parties": list(parties)})
    return frozenset(PartyId(party) for party in found)


def _rows_of(stored: Stored) -> bool:
    return bool(stored.facts) or any(stored.rows.values())


_KNOWN = text("SELECT DISTINCT party FROM memberships WHERE party = ANY(:parties)")
_EVENTS_OF = text(
    "SELECT DISTINCT event_id FROM facts WHERE party = ANY(:parties) ORDER BY event_id"
)
