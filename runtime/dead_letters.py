"""Events that could not be applied, kept whole in PostgreSQL until an operator decides.

The row is committed before the event leaves the inbox, so a crash in between leaves it in both
places and never in none. While PostgreSQL is away an event simply stays in the inbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.engine import Connection, Engine

from billing.text import storable
from models.tables import AuditLog, DeadLetter

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

    A letter an operator discarded stays discarded: only a replay opens it again.
    """
    with engine.begin() as connection:
        for burial in sorted(burials, key=lambda burial: burial.key):
            _write_letter(connection, burial)
            connection.execute(sa.insert(AuditLog).values(**_audit_row(burial)))


def count_open(engine: Engine) -> int:
    """Letters nobody has dealt with."""
    query = sa.select(sa.func.count()).where(DeadLetter.state == "open")
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def _write_letter(connection: Connection, burial: Burial) -> None:
    statement = insert(DeadLetter).values(**_letter_row(burial))
    new = statement.excluded
    discarded = DeadLetter.state == "discarded"
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
        "event_id": key,
        "after": {"error_type": storable(burial.error_type), "attempts": burial.attempts},
        "reason": storable(burial.error),
    }
