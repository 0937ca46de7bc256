"""A change that concerns everything of a party, brought to the archives of a long past in steps.

The change itself is committed at once, with all that is loaded of the party: another user, a link,
other plans. Each step then opens the next archives by name, projects what is in them with what is
loaded, and puts them away again. A payment moves whole, because it is in one archive. Events that
come meanwhile are decided as ever; one that names an archived payment moves it with its event.

    archives   a b c | d e f g         the party's row and what is loaded: changed already
               changed | as before     ``position`` is c

In the end rows and money are as if all had been done at once. A step may find that other payments
depend on what it opened, so that it has to stay loaded. Then earlier steps knew too little, and
another round follows; after ``MAX_ROUNDS`` all is done at once. So is the update of a party in
whose archives is a plan that lasts some days, because each such plan may prolong others.

Under plans that the party was not projected by yet, an update waits until these have reached what
is loaded, so that the audit names their cause and not its own.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Final

from sqlalchemy import Connection, Engine, text

from billing.archiving.dependencies import Dependencies
from billing.facts import READER_NUMBER
from billing.ids import EventId, PartyId
from runtime.ledger.admit import open_transaction
from runtime.ledger.batch_state import BatchState
from runtime.ledger.catalogues import CatalogueCache, VersionedCatalogue
from runtime.ledger.decisions import Decision
from runtime.ledger.errors import ArchivesNeeded
from runtime.ledger.load import Stored
from runtime.ledger.load_past import load_archives
from runtime.ledger.locks import time_under_locks, try_lock
from runtime.ledger.write import ChangeCause, PendingWrites, write
from runtime.time_limits import (
    FAILED_UPDATE_AGAIN_SECONDS,
    IDLE_IN_TRANSACTION_SECONDS,
    WHOLE_UPDATE_IDLE_SECONDS,
)

ARCHIVES_AT_ONCE: Final = 100
"""Archives that one step opens: some tenths of a second, in which events of the party wait."""

MAX_ROUNDS: Final = 3
"""Rounds that another one has to follow, before everything is done at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateProgress:
    """An update of archives in steps: its cause, and the number of archives that are left."""

    party: PartyId
    began_at: datetime
    actor: str
    event_id: EventId | None
    archives_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Update:
    """A row of ``archive_updates``, locked with its party."""

    party: PartyId
    position: str
    rounds: int
    again: bool
    cause: ChangeCause


@dataclass(slots=True, kw_only=True)
class ArchiveUpdates:
    """Does updates step by step; several processes may do it at once. ``clock`` is monotonic."""

    engine: Engine
    catalogues: CatalogueCache = field(default_factory=CatalogueCache)
    clock: Callable[[], float] = monotonic
    _failed_at: dict[PartyId, float] = field(default_factory=dict)
    """Parties of which a step failed, with the time; they are left out for a while."""

    def do_next(self) -> int | None:
        """Do the next step of the oldest update, and return how many archives it opened.

        It is at least 1. It is 0 if there is nothing to do now, and None if all that there is
        waits for a lock. Left out are parties that failed lately, and those that wait for plans or
        to be read again.
        """
        whole = frozenset[PartyId]()
        while True:
            try:
                return self._do_next(whole)
            except ArchivesNeeded as needed:
                whole |= needed.whole
                for party in needed.whole:
                    del self._failed_at[party]

    def _do_next(self, whole: frozenset[PartyId]) -> int | None:
        now = self.clock()
        idle_seconds = WHOLE_UPDATE_IDLE_SECONDS if whole else IDLE_IN_TRANSACTION_SECONDS
        left_out = [
            party for party, at in self._failed_at.items() if now - at < FAILED_UPDATE_AGAIN_SECONDS
        ]
        with self.engine.begin() as connection:
            open_transaction(connection, idle_seconds=idle_seconds)
            waiting = _waiting(connection, left_out)
            if (update := _first_free(connection, waiting)) is None:
                return None if waiting else 0
            self._failed_at[update.party] = now
            done = _step(connection, self.catalogues, update, is_whole=update.party in whole)
        del self._failed_at[update.party]
        return done


def updates_in_progress(
    connection: Connection, parties: Collection[str] | None = None
) -> list[UpdateProgress]:
    """Return the updates that are not finished, of these parties or of all, the oldest first."""
    asked = {"parties": None if parties is None else sorted(parties)}
    return [UpdateProgress(**row) for row in connection.execute(_IN_PROGRESS, asked).mappings()]


def count_updates(connection: Connection) -> tuple[int, float]:
    """Return how many updates are not finished, and the seconds since the oldest began."""
    number, seconds = connection.execute(_COUNT).one()
    return number, float(seconds)


def _step(
    connection: Connection, catalogues: CatalogueCache, update: _Update, *, is_whole: bool
) -> int:
    if update.rounds >= MAX_ROUNDS and not is_whole:
        raise ArchivesNeeded(whole=frozenset({update.party}))
    now, plans = time_under_locks(connection), catalogues.current(connection)
    names = _next_archives(connection, update)
    stored = load_archives(connection, update.party, None if is_whole else names)
    batch, decisions = project_archives(update.party, stored, plans, now)
    pending = PendingWrites()
    pending.add(update.cause, update.party, decisions)
    write(connection, pending, batch, {})
    if not stored.is_whole:
        is_same = _dependencies(connection, update.party) == stored.dependencies
        _go_on(connection, update, names, again=update.again or not is_same)
    # An update whose last archives were taken out by events ends without opening any.
    return max(len(names), 1)


def project_archives(
    party: PartyId, stored: Stored, plans: VersionedCatalogue, now: datetime
) -> tuple[BatchState, tuple[Decision, ...]]:
    """Project what is loaded of a party with the archives that were opened.

    Raises:
        ArchivesNeeded: only the whole party can be projected.
    """
    batch = BatchState({party: stored}, plans=plans, now=now)
    party_state = batch.parties[party]
    decisions = batch.project(party_state)
    batch.refuse_opened_passes(party_state)
    return batch, decisions


def _waiting(connection: Connection, left_out: Collection[PartyId]) -> list[PartyId]:
    asked = {"reader": READER_NUMBER, "left_out": sorted(left_out)}
    return [PartyId(party) for party in connection.scalars(_WAITING, asked)]


def _first_free(connection: Connection, parties: Iterable[PartyId]) -> _Update | None:
    """Lock the first of these parties that is free, and return its update."""
    for party in parties:
        if not try_lock(connection, [party]):
            continue
        # It may have been finished before its party was locked.
        if row := connection.execute(_ROW, {"party": party}).one_or_none():
            cause = ChangeCause(
                actor=row.actor,
                origin=row.origin,
                occurred_at=row.occurred_at,
                event_id=row.event_id,
                event_type=row.event_type,
                reason=row.reason,
            )
            return _Update(
                party=party,
                position=row.position,
                rounds=row.rounds,
                again=row.again,
                cause=cause,
            )
    return None


def _next_archives(connection: Connection, update: _Update) -> Sequence[str]:
    asked = {"party": update.party, "position": update.position, "limit": ARCHIVES_AT_ONCE}
    return connection.scalars(_NEXT_ARCHIVES, asked).all()


def _dependencies(connection: Connection, party: PartyId) -> Dependencies:
    found: Dependencies = connection.execute(_DEPENDENCIES, {"party": party}).scalar_one()
    return found


def _go_on(connection: Connection, update: _Update, names: Sequence[str], *, again: bool) -> None:
    """Note how far the update has come, and at the end of a round whether another one follows."""
    if len(names) == ARCHIVES_AT_ONCE:
        step = {"party": update.party, "position": names[-1], "again": again}
        connection.execute(_MOVE_ON, step)
    elif again:
        connection.execute(_BEGIN_AGAIN, {"party": update.party})
    else:
        connection.execute(_END, {"party": update.party})


_WAITING = text(
    "SELECT party FROM archive_updates JOIN parties USING (party) WHERE reader >= :reader"
    " AND catalogue_version = (SELECT max(version) FROM catalogues)"
    " AND party <> ALL(CAST(:left_out AS text[])) ORDER BY began_at, party"
)
_ROW = text("SELECT * FROM archive_updates WHERE party = :party")
_NEXT_ARCHIVES = text(
    "SELECT DISTINCT archive FROM facts WHERE party = :party AND archive > :position"
    " ORDER BY archive LIMIT :limit"
)
_DEPENDENCIES = text("SELECT dependencies FROM parties WHERE party = :party")
_MOVE_ON = text(
    "UPDATE archive_updates SET position = :position, again = :again WHERE party = :party"
)
_BEGIN_AGAIN = text(
    "UPDATE archive_updates SET position = '', rounds = rounds + 1, again = false"
    " WHERE party = :party"
)
_END = text("DELETE FROM archive_updates WHERE party = :party")
_COUNT = text(
    "SELECT count(*), coalesce(extract(epoch FROM now() - min(began_at)), 0) FROM archive_updates"
)
_IN_PROGRESS = text(
    "SELECT party, began_at, actor, event_id, (SELECT count(DISTINCT archive) FROM facts"
    " WHERE facts.party = archive_updates.party AND archive > position) AS archives_left"
    " FROM archive_updates WHERE CAST(:parties AS text[]) IS NULL OR party = ANY(:parties)"
    " ORDER BY began_at, party"
)
