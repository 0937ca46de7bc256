"""Events that could not be applied, kept whole in PostgreSQL until an operator decides.

The row is committed before the event leaves the inbox, so a crash in between leaves it in both
places and never in none. While PostgreSQL is away an event simply stays in the inbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.engine import Connection, Engine

from billing.text import storable
from models.tables import AuditLog, DeadLetter
from runtime.event_keys import event_id_of, fingerprint_of, key_apart
from runtime.ledger.deliveries import REPLAY

UNBURIED: Final = "not buried yet"
"""How the last error of an event begins that waits in the inbox for PostgreSQL to take it."""

_ACTOR: Final = "paidup"
_LONGEST_HISTORY: Final = 50
"""Earlier failures kept with a letter; a Stripe that redelivers for days must not swell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burial:
    """One event on its way to the dead letters; ``body`` is exactly what Stripe signed."""

    key: str
    event_type: str | None
    body: bytes
    error_type: str
    error: str
    attempts: int
    origin: str
    received_at: datetime
    first_failed_at: datetime
    failed_at: datetime


def bury(engine: Engine, burials: Sequence[Burial]) -> None:
    """Commit the letters and their audit rows; what stood in a letter before is its history.

    A letter an operator discarded stays discarded, unless it is a replay that failed. A letter of
    another event under the same id stands; this one gets a key of its own.
    """
    with engine.begin() as connection:
        for burial in _kept_apart(connection, burials):
            _write_letter(connection, burial)
            connection.execute(sa.insert(AuditLog).values(**_audit_row(burial)))


def count_open(engine: Engine) -> int:
    """Letters nobody has dealt with."""
    query = sa.select(sa.func.count()).where(DeadLetter.state == "open")
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def discard(engine: Engine, keys: Sequence[str], *, actor: str, reason: str) -> list[str]:
    """Commit that an operator wants these open letters no more; the answer is which those were.

    An event that Stripe sends again after this is settled as ignored, until somebody replays it.
    """
    statement = (
        sa.update(DeadLetter)
        .where(DeadLetter.event_id.in_(keys), DeadLetter.state == "open")
        .values(state="discarded", resolved_at=sa.func.now(), resolved_by=actor, reason=reason)
        .returning(DeadLetter.event_id, DeadLetter.error_type)
    )
    with engine.begin() as connection:
        discarded = connection.execute(statement).all()
        rows = [_discarded_row(key, error, actor, reason) for key, error in discarded]
        if rows:
            connection.execute(sa.insert(AuditLog), rows)
    return sorted(key for key, _ in discarded)


def _discarded_row(key: str, error_type: str, actor: str, reason: str) -> dict[str, Any]:
    return {
        "actor": actor,
        "action": "dead_letter.discarded",
        "outcome": "done",
        "origin": "operator",
        "target_type": "dead_letter",
        "target_id": key,
        "event_id": event_id_of(key),
        "before": {"state": "open", "error_type": error_type},
        "after": {"state": "discarded"},
        "reason": reason,
    }


def _kept_apart(connection: Connection, burials: Sequence[Burial]) -> list[Burial]:
    keys = [burial.key for burial in burials if burial.key == event_id_of(burial.key)]
    query = sa.select(DeadLetter.event_id, DeadLetter.payload)
    held = query.where(DeadLetter.event_id.in_(map(storable, keys))).with_for_update()
    there = {key: fingerprint_of(payload.encode()) for key, payload in connection.execute(held)}

    def keyed(burial: Burial) -> Burial:
        first = there.get(storable(burial.key))
        if first is None or first == fingerprint_of(burial.body):
            return burial
        return replace(burial, key=key_apart(burial.key, burial.body))

    return sorted(map(keyed, burials), key=lambda burial: burial.key)


def _write_letter(connection: Connection, burial: Burial) -> None:
    statement = insert(DeadLetter).values(**_letter_row(burial))
    new = statement.excluded
    discarded = (DeadLetter.state == "discarded") & (burial.origin != REPLAY)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[DeadLetter.event_id],
            set_={
                "payload": new.payload,
                "error_type": new.error_type,
                "error": new.error,
                "attempts": new.attempts,
                "last_failed_at": new.last_failed_at,
                "state": sa.case((discarded, "discarded"), else_="open"),
                "resolved_at": sa.case((discarded, DeadLetter.resolved_at)),
                "resolved_by": sa.case((discarded, DeadLetter.resolved_by)),
                "reason": sa.case((discarded, DeadLetter.reason)),
                "history": _longer_history(),
            },
        )
    )


def _longer_history() -> sa.ColumnElement[Any]:
    """The letter's history and, at its end, what the letter says until now."""
    now_past = sa.func.jsonb_build_object(
        *("error_type", DeadLetter.error_type),
        *("error", DeadLetter.error),
        *("attempts", DeadLetter.attempts),
        *("failed_at", DeadLetter.last_failed_at),
        *("state", DeadLetter.state),
        *("resolved_by", DeadLetter.resolved_by),
        *("reason", DeadLetter.reason),
    )
    full = sa.func.jsonb_array_length(DeadLetter.history) >= _LONGEST_HISTORY
    kept = sa.case(
        (full, DeadLetter.history.op("-", return_type=JSONB())(sa.literal(0, sa.Integer()))),
        else_=DeadLetter.history,
    )
    return kept.op("||", return_type=JSONB())(sa.func.jsonb_build_array(now_past))


def _letter_row(burial: Burial) -> dict[str, Any]:
    return {
        "event_id": storable(burial.key),
        "type": None if burial.event_type is None else storable(burial.event_type),
        "payload": storable(burial.body.decode("utf-8", errors="replace")),
        "error_type": storable(burial.error_type),
        "error": storable(burial.error),
        "attempts": burial.attempts,
        "received_at": burial.received_at,
        "first_failed_at": burial.first_failed_at,
        "last_failed_at": burial.failed_at,
        "state": "open",
    }


def _audit_row(burial: Burial) -> dict[str, Any]:
    key = storable(burial.key)
    return {
        "actor": _ACTOR,
        "action": "dead_letter.buried",
        "outcome": "done",
        "origin": burial.origin,
        "target_type": "dead_letter",
        "target_id": key,
        "event_id": event_id_of(key),
        "after": {"error_type": storable(burial.error_type), "attempts": burial.attempts},
        "reason": storable(burial.error),
    }
