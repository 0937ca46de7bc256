"""Events that could not be applied, kept whole in PostgreSQL until an operator decides.

The row is committed before the event leaves the inbox, so a crash in between leaves the event in
both places and never in none. While PostgreSQL is unreachable the event stays in the inbox.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVarTuple

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.engine import Connection, Engine

from billing.errors import MalformedEvent
from billing.readers.search_terms import named_in
from billing.text import storable
from models.tables import AuditLog, DeadLetter, SearchTerm
from runtime.database.one_of import one_of
from runtime.event_body import parse
from runtime.event_keys import conflict_key, event_id_of, fingerprint_of
from runtime.failures.classify import Infrastructure, classify, lacks_right
from runtime.ledger.admit import outcomes_of, wait_for_settling
from runtime.ledger.bulk import insert_rows
from runtime.ledger.deliveries import DISCARDED, REPLAY

DEAD_LETTER_PENDING: Final = "dead letter pending"
"""The start of the last error of an event that waits in the inbox to become a dead letter."""

log = structlog.get_logger(__name__)

Columns = TypeVarTuple("Columns")

_ACTOR: Final = "paidup"
_KEY: Final = DeadLetter.event_id
_LONGEST_TERM: Final = 500
"""Characters of a term; PostgreSQL refuses to index a text of more than 2,700 bytes."""

_DISCARDED_AT_ONCE: Final = 1000
_LONGEST_HISTORY: Final = 50
"""Earlier failures kept with a dead letter; Stripe may redeliver for days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterDraft:
    """One event that is to become a dead letter; ``body`` is exactly what Stripe signed."""

    key: str
    event_type: str | None
    body: bytes
    error_type: str
    error: str
    attempts: int
    origin: str
    undoes_discard: datetime | None = None
    """The time of the discard that its replay was to undo; see ``runtime.ledger.deliveries``."""
    received_at: datetime
    first_failed_at: datetime
    failed_at: datetime


def dead_letter(engine: Engine, drafts: Sequence[DeadLetterDraft]) -> None:
    """Commit dead letters and their audit rows; what a dead letter held before goes to its history.

    A dead letter that an operator discarded stays discarded, unless a replay failed that was asked
    for since. If the dead letter under this id holds another event, the new one gets a key of its
    own.
    """
    with engine.begin() as connection:
        write_dead_letters(connection, drafts)


def write_dead_letters(connection: Connection, drafts: Sequence[DeadLetterDraft]) -> None:
    """Write dead letters as ``dead_letter`` does, in a transaction of the caller."""
    for draft in _with_conflict_keys(connection, drafts):
        _upsert(connection, draft)
        connection.execute(sa.insert(AuditLog).values(**_audit_row(draft)))
        _write_terms(connection, draft)


def _write_terms(connection: Connection, draft: DeadLetterDraft) -> None:
    """Write the terms of a dead letter, or none: a search aid must not keep it from its table."""
    try:
        with connection.begin_nested():
            insert_rows(connection, SearchTerm, _term_rows(draft), conflict="ignore")
    except Exception as error:
        failure = classify(error)
        if isinstance(failure, Infrastructure) and not lacks_right(failure):
            raise
        log.warning("dead letter without search terms", key=draft.key, reason=failure.reason)


def _term_rows(draft: DeadLetterDraft) -> list[dict[str, str]]:
    """Return what the event names, by which people look for its dead letter."""
    try:
        named = named_in(parse(draft.body))
    except MalformedEvent:
        return []
    key = storable(draft.key)
    by_kind = {
        "email": named.emails,
        "id": named.ids,
        "metadata": named.metadata,
        "name": named.names,
        "user": named.users,
    }
    terms = {(kind, term.lower()) for kind, terms in by_kind.items() for term in terms}
    return [
        {"term": term, "kind": kind, "object_key": key, "party": key}
        for kind, term in sorted(terms)
        if len(term) <= _LONGEST_TERM
    ]


def count_open(engine: Engine) -> int:
    """Count the open dead letters."""
    query = sa.select(sa.func.count()).where(DeadLetter.state == "open")
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardResult:
    """A dead letter after an attempt to discard it."""

    key: str
    discarded: bool
    state: str
    resolved_at: datetime
    resolved_by: str
    outcome: str | None
    """The outcome of the event if it is settled; a discard leaves what is settled as it is."""


def discard(engine: Engine, keys: Sequence[str], *, actor: str, reason: str) -> list[DiscardResult]:
    """Discard these dead letters if they are open; return all that exist, sorted by key.

    Events that are being settled at this moment come first, so the results hold for good: an event
    that was discarded here has no effect until an operator replays it.

    Each thousand is a transaction of its own. After an error those that were committed before it
    stay discarded, and another call goes on with the rest.
    """
    wanted = sorted(set(keys))
    portions = (
        wanted[start : start + _DISCARDED_AT_ONCE]
        for start in range(0, len(wanted), _DISCARDED_AT_ONCE)
    )
    return [
        result
        for some in portions
        for result in _discard_together(engine, some, actor=actor, reason=reason)
    ]


def _discard_together(
    engine: Engine, keys: Sequence[str], *, actor: str, reason: str
) -> list[DiscardResult]:
    with engine.begin() as connection:
        there = sorted(connection.scalars(sa.select(_KEY).where(one_of(_KEY, keys))))
        ids = [key for key in there if key == event_id_of(key)]
        wait_for_settling(connection, ids)
        locked = _in_order(sa.select(_KEY, DeadLetter.state).where(one_of(_KEY, there)))
        is_open = {key for key, state in connection.execute(locked) if state == "open"}
        if is_open:
            _discard_open(connection, is_open, actor=actor, reason=reason)
        outcomes = outcomes_of(connection, ids)
        columns = (_KEY, DeadLetter.state, DeadLetter.resolved_at, DeadLetter.resolved_by)
        rows = connection.execute(sa.select(*columns).where(one_of(_KEY, there)))
        return [
            DiscardResult(
                key=row.event_id,
                discarded=row.event_id in is_open,
                state=row.state,
                resolved_at=row.resolved_at,
                resolved_by=row.resolved_by,
                outcome=outcomes.get(row.event_id),
            )
            for row in sorted(rows)
        ]


def _discard_open(
    connection: Connection, keys: Collection[str], *, actor: str, reason: str
) -> None:
    statement = (
        sa.update(DeadLetter)
        .where(one_of(_KEY, keys))
        .values(state=DISCARDED, resolved_at=sa.func.now(), resolved_by=actor, reason=reason)
        .returning(_KEY, DeadLetter.error_type)
    )
    discarded = connection.execute(statement).all()
    rows = [_discarded_row(key, error, actor, reason) for key, error in discarded]
    connection.execute(sa.insert(AuditLog), rows)


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
        "after": {"state": DISCARDED},
        "reason": reason,
    }


def _in_order(query: sa.Select[*Columns]) -> sa.Select[*Columns]:
    """Return the query with locks on the dead letters, taken in the order of all transactions."""
    return query.order_by(_KEY.collate("C")).with_for_update()


def _with_conflict_keys(
    connection: Connection, drafts: Sequence[DeadLetterDraft]
) -> list[DeadLetterDraft]:
    keys = [draft.key for draft in drafts if draft.key == event_id_of(draft.key)]
    query = sa.select(DeadLetter.event_id, DeadLetter.payload)
    held = _in_order(query.where(one_of(_KEY, map(storable, keys))))
    there = {key: fingerprint_of(payload.encode()) for key, payload in connection.execute(held)}

    def keyed(draft: DeadLetterDraft) -> DeadLetterDraft:
        first = there.get(storable(draft.key))
        if first is None or first == fingerprint_of(draft.body):
            return draft
        return replace(draft, key=conflict_key(draft.key, draft.body))

    return sorted(map(keyed, drafts), key=lambda draft: draft.key)


def _upsert(connection: Connection, draft: DeadLetterDraft) -> None:
    statement = insert(DeadLetter).values(**_row(draft))
    new = statement.excluded
    discarded = DeadLetter.state == DISCARDED
    if draft.origin == REPLAY:
        discarded &= DeadLetter.resolved_at.is_distinct_from(draft.undoes_discard)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[DeadLetter.event_id],
            set_={
                "payload": new.payload,
                "error_type": new.error_type,
                "error": new.error,
                "attempts": new.attempts,
                "last_failed_at": new.last_failed_at,
                "state": sa.case((discarded, DISCARDED), else_="open"),
                "resolved_at": sa.case((discarded, DeadLetter.resolved_at)),
                "resolved_by": sa.case((discarded, DeadLetter.resolved_by)),
                "reason": sa.case((discarded, DeadLetter.reason)),
                "history": _longer_history(),
            },
        )
    )


def _longer_history() -> sa.ColumnElement[Any]:
    """Return the history with the present state of the dead letter at its end."""
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


def _row(draft: DeadLetterDraft) -> dict[str, Any]:
    return {
        "event_id": storable(draft.key),
        "type": None if draft.event_type is None else storable(draft.event_type),
        "payload": storable(draft.body.decode("utf-8", errors="replace")),
        "error_type": storable(draft.error_type),
        "error": storable(draft.error),
        "attempts": draft.attempts,
        "received_at": draft.received_at,
        "first_failed_at": draft.first_failed_at,
        "last_failed_at": draft.failed_at,
        "state": "open",
    }


def _audit_row(draft: DeadLetterDraft) -> dict[str, Any]:
    key = storable(draft.key)
    return {
        "actor": _ACTOR,
        "action": "dead_letter.buried",
        "outcome": "done",
        "origin": draft.origin,
        "target_type": "dead_letter",
        "target_id": key,
        "event_id": event_id_of(key),
        "after": {"error_type": storable(draft.error_type), "attempts": draft.attempts},
        "reason": storable(draft.error),
    }
