"""First step of recording: find out which events are new.

The insert decides. The transaction that inserts an event first settles it; a second one waits
until the first commits or fails, and then either finds the event settled or settles it itself.
Ids are inserted in sorted order, so two batches that share events cannot deadlock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from psycopg.errors import UndefinedTable
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from models.tables import StripeEvent
from runtime.event_keys import fingerprint_of
from runtime.ledger.bulk import insert_rows
from runtime.ledger.catalogues import LOCK as CATALOGUE_LOCK
from runtime.ledger.deliveries import DISCARDED, Delivery, Outcome
from runtime.ledger.errors import SchemaOutdated
from runtime.schema import NO_SCHEMA, misfit
from runtime.time_limits import IDLE_IN_TRANSACTION_SECONDS, LOCK_SECONDS


class EventRow(NamedTuple):
    """A settled event as the database holds it, without the payload."""

    id: str
    fingerprint: str
    type: str
    outcome: Outcome
    reason: str | None
    applied_at: datetime
    attempts: int
    settlement: int
    pending_fetches: str | None
    observations: Sequence[str] | None
    """What the API showed for it; None if it was not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDeadLetter:
    """A dead letter that has not been replayed; ``fingerprint`` is None if its body is no event."""

    state: str
    resolved_at: datetime | None
    fingerprint: str | None

    def is_anothers(self, delivery: Delivery) -> bool:
        """Return True if the dead letter holds another event, so that this one must not be settled.

        Once an operator has discarded it, they may replay the other event.
        """
        decided = self.state == DISCARDED and delivery.replayed
        same = self.fingerprint in {None, delivery.envelope.fingerprint}
        return not same and not decided

    def stays_discarded(self, delivery: Delivery) -> bool:
        """Return True if it was discarded, and no replay was asked for since."""
        undone = delivery.replayed and delivery.undoes_discard == self.resolved_at
        return self.state == DISCARDED and not undone


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The clock of the transaction, its database's epoch, and dead letters by inbox key."""

    now: datetime
    database_epoch: str
    dead_letters: Mapping[str, OpenDeadLetter]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Events by id: those that this transaction settles, and those that were settled before."""

    new: Mapping[str, EventRow]
    settled: Mapping[str, EventRow]

    def row(self, event_id: str) -> EventRow:
        """Return the row of an event, whichever transaction inserted it."""
        return self.new.get(event_id) or self.settled[event_id]


def open_transaction(
    connection: Connection,
    keys: Iterable[str] = (),
    *,
    lock_seconds: float = LOCK_SECONDS,
    idle_seconds: float = IDLE_IN_TRANSACTION_SECONDS,
) -> Opening:
    """Take the catalogue's lock, read the clock and find dead letters under these inbox keys.

    ``lock_seconds`` bounds every wait for a lock until the transaction ends, ``idle_seconds`` every
    pause between two statements.

    Raises:
        SchemaOutdated: this release may not run on the schema.
    """
    values = {
        "lock": CATALOGUE_LOCK,
        "keys": list(keys),
        "lock_timeout": f"{round(lock_seconds * 1000)}ms",
        "idle_timeout": f"{round(idle_seconds * 1000)}ms",
    }
    try:
        row = connection.execute(_OPEN, values).one()
    except ProgrammingError as error:
        if isinstance(error.orig, UndefinedTable):
            raise SchemaOutdated(NO_SCHEMA) from error
        raise
    if why := misfit(row.revision, row.oldest_release):
        raise SchemaOutdated(why)
    return Opening(
        now=row.now,
        database_epoch=row.epoch or "",
        dead_letters=_open_dead_letters(row.dead_letters or {}),
    )


def admit(connection: Connection, deliveries: Sequence[tuple[Delivery, str | None]]) -> Admitted:
    """Insert each event with the reason why it is ignored, or None."""
    first = {delivery.envelope.event_id: (delivery, why) for delivery, why in reversed(deliveries)}
    rows = [_row(delivery, why) for _, (delivery, why) in sorted(first.items())]
    inserted = insert_rows(connection, StripeEvent, rows, returning=_RETURNED, conflict="ignore")
    new = {row.id: _event(row) for row in inserted}
    rest = sorted(first.keys() - new.keys())
    again = any(first[each][0].replayed or first[each][0].observations is not None for each in rest)
    return Admitted(new=new, settled=_settled(connection, rest, lock=again))


def withdraw(connection: Connection, event_ids: Iterable[str]) -> None:
    """Delete the rows of events that this transaction inserted and does not settle."""
    connection.execute(_WITHDRAW, {"ids": sorted(event_ids)})


def wait_for_settling(connection: Connection, event_ids: Iterable[str]) -> None:
    """Wait until each transaction that inserted one of these events by now has ended.

    The insert waits as that of ``admit`` does, and is taken back.
    """
    with connection.begin_nested() as probe:
        connection.execute(_PROBE, {"ids": sorted(event_ids)})
        probe.rollback()


def outcomes_of(connection: Connection, event_ids: Iterable[str]) -> Mapping[str, Outcome]:
    """Return the outcomes of those events that are settled."""
    rows = connection.execute(_OUTCOMES, {"ids": list(event_ids)})
    return {row.id: Outcome(row.outcome) for row in rows}


def resettle(connection: Connection, outcomes: Mapping[str, tuple[Outcome, str | None]]) -> None:
    """Correct the outcome of events that this transaction inserted or settles again."""
    rows = [{"id": event_id, "outcome": o, "reason": r} for event_id, (o, r) in outcomes.items()]
    if rows:
        connection.execute(_RESETTLE, rows)


def note_fetched(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store the ids of what was fetched for settled events, and what is still to be fetched.

    ``observations`` are added to those of the row, and None leaves them as they are; a
    ``pending_fetches`` of None means that nothing is left to fetch.
    """
    if rows:
        connection.execute(_NOTE_FETCHED, rows)


_RETURNED = (
    "id, fingerprint, type, outcome, reason, applied_at, attempts, settlement, pending_fetches,"
    " observations"
)
# Everything is looked up by key. A prepared statement keeps its first plan, and one made while a
# table was small scans all of it: 1.1 ms instead of 0.2 soon, and more with every row.
_OPEN = text(
    "SELECT set_config('enable_seqscan', 'off', true),"
    " set_config('lock_timeout', :lock_timeout, true),"
    " set_config('idle_in_transaction_session_timeout', :idle_timeout, true), now() AS now,"
    " (SELECT version_num FROM alembic_version) AS revision,"
    " (SELECT oldest_release FROM schema_release) AS oldest_release,"
    " (SELECT epoch FROM database_epoch) AS epoch,"
    " pg_advisory_xact_lock_shared(:lock),"
    " (SELECT json_object_agg(event_id, json_build_array(state, resolved_at, payload))"
    "  FROM dead_letters WHERE event_id = ANY(:keys) AND state <> 'replayed') AS dead_letters"
)
_SETTLED = (
    f"SELECT {_RETURNED} FROM stripe_events"  # noqa: S608 - our own columns
    " WHERE id = ANY(:ids) ORDER BY id"
)
_NOTE_FETCHED = text(
    "UPDATE stripe_events SET pending_fetches = :pending_fetches,"
    " observations = CASE WHEN CAST(:observations AS text[]) IS NULL THEN observations ELSE"
    "  ARRAY(SELECT unnest(observations) UNION SELECT unnest(CAST(:observations AS text[]))) END"
    " WHERE id = :id"
)
_PROBE = text(
    "INSERT INTO stripe_events (id, type, livemode, created_at, received_at, outcome, attempts,"
    " payload, payload_sha256, realm, fingerprint, origin)"
    " SELECT id, '', false, now(), now(), 'ignored', 0, '', '', '', '', 'stripe'"
    " FROM unnest(CAST(:ids AS text[])) AS id ON CONFLICT (id) DO NOTHING"
)
_OUTCOMES = text("SELECT id, outcome FROM stripe_events WHERE id = ANY(:ids)")
_WITHDRAW = text("DELETE FROM stripe_events WHERE id = ANY(:ids)")
_RESETTLE = text(
    "UPDATE stripe_events SET outcome = :outcome, reason = :reason, applied_at = now()"
    " WHERE id = :id"
)


def _open_dead_letters(
    found: Mapping[str, tuple[str, str | None, str]],
) -> dict[str, OpenDeadLetter]:
    return {
        key: OpenDeadLetter(
            state=state,
            resolved_at=datetime.fromisoformat(resolved_at) if resolved_at else None,
            fingerprint=fingerprint_of(payload.encode()),
        )
        for key, (state, resolved_at, payload) in found.items()
    }


def _settled(connection: Connection, ids: Sequence[str], *, lock: bool) -> dict[str, EventRow]:
    if not ids:
        return {}
    query = text(_SETTLED + (" FOR UPDATE" if lock else ""))
    return {row.id: _event(row) for row in connection.execute(query, {"ids": list(ids)})}


def _event(row: Any) -> EventRow:
    return EventRow(*row)._replace(outcome=Outcome(row.outcome))


def _row(delivery: Delivery, ignored: str | None) -> dict[str, Any]:
    envelope = delivery.envelope
    return {
        "id": envelope.event_id,
        "type": envelope.type,
        "api_version": envelope.api_version,
        "account": envelope.account,
        "livemode": envelope.livemode,
        "created_at": envelope.created_at,
        "received_at": delivery.received_at,
        "outcome": Outcome.IGNORED if ignored else Outcome.APPLIED,
        "reason": ignored,
        "attempts": delivery.attempts,
        "payload": envelope.body.decode(),
        "payload_sha256": sha256(envelope.body).hexdigest(),
        "object_id": envelope.object_id,
        "realm": envelope.realm,
        "fingerprint": envelope.fingerprint,
        "origin": delivery.origin,
        "observations": delivery.observation_ids,
    }
