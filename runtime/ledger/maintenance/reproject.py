"""Projection without an event: because time has passed, or because the plans have changed.

Transactions are small, so that events never wait long. A run can be interrupted and continued:
``parties`` records what is done.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from sqlalchemy import Connection, Engine, text

from billing.facts import READER_NUMBER
from billing.ids import PartyId
from runtime.ledger.admit import open_transaction
from runtime.ledger.batch_state import BatchState
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.load_past import load_for_plans
from runtime.ledger.locks import lock, time_under_locks, try_lock
from runtime.ledger.write import ChangeCause, PendingWrites, write

CHUNK: Final = 20
CLOCK: Final = "clock"


def project_due(engine: Engine, catalogues: CatalogueCache, limit: int) -> int:
    """Project at most ``limit`` due parties and return their number.

    Those that are locked are skipped, and those with facts of earlier readers: their rows stay as
    they are until their events are read again, and the view shows no access that has ended.
    """
    done: list[PartyId] = []
    while len(done) < limit:
        with engine.begin() as connection:
            now = open_transaction(connection).now
            parties = _due(connection, done, min(CHUNK, limit - len(done)))
            if not parties:
                break
            cause = ChangeCause(actor=CLOCK, origin=CLOCK, occurred_at=now)
            _project(connection, catalogues, parties, cause)
        done += parties
    return len(done)


def reproject(
    engine: Engine,
    catalogues: CatalogueCache,
    parties: Iterable[PartyId],
    *,
    actor: str,
    reason: str,
) -> int:
    """Project these parties by the plans in force; skip those that were merged meanwhile.

    Raises:
        FactsOutdated: earlier readers wrote the facts of some; ``OutdatedFacts`` reads them again.
    """
    done = 0
    for chunk in _chunks(parties):
        with engine.begin() as connection:
            open_transaction(connection)
            lock(connection, chunk, above=())
            now, present = time_under_locks(connection), _present(connection, chunk)
            cause = ChangeCause(actor=actor, origin="operator", occurred_at=now, reason=reason)
            _project(connection, catalogues, present, cause)
        done += len(present)
    return done


_DUE = text(
    "SELECT party FROM parties WHERE due_at <= now() AND reader >= :reader"
    " AND party <> ALL(CAST(:done AS text[])) ORDER BY due_at LIMIT :limit"
)
_STILL_DUE = text("SELECT party FROM parties WHERE due_at <= now() AND party = ANY(:parties)")
_PRESENT = text("SELECT party FROM parties WHERE party = ANY(:parties)")


def _due(connection: Connection, done: Sequence[PartyId], limit: int) -> list[PartyId]:
    found = connection.scalars(
        _DUE, {"done": list(done), "limit": limit, "reader": READER_NUMBER}
    ).all()
    free = try_lock(connection, [PartyId(party) for party in found])
    return [PartyId(party) for party in connection.scalars(_STILL_DUE, {"parties": free})]


def _present(connection: Connection, parties: Sequence[PartyId]) -> list[PartyId]:
    return [PartyId(party) for party in connection.scalars(_PRESENT, {"parties": list(parties)})]


def _project(
    connection: Connection,
    catalogues: CatalogueCache,
    parties: Sequence[PartyId],
    cause: ChangeCause,
) -> None:
    plans = catalogues.current(connection)
    stored = load_for_plans(connection, parties, plans)
    batch = BatchState(stored, plans=plans, now=cause.occurred_at)
    pending = PendingWrites()
    for party, party_state in sorted(batch.parties.items()):
        decisions = batch.project(party_state)
        pending.add(cause, party, decisions)
        if party_state.archives.in_steps:
            batch.compare_dependencies(party_state)
            pending.leave_archives(party, cause, decisions)
    write(connection, pending, batch, {})


def _chunks(parties: Iterable[PartyId]) -> Iterator[list[PartyId]]:
    rest = iter(parties)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
