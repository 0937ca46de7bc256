"""Print dead letters and events about to become one, or turn them into JSON values."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from ops.events.facts_text import describe_fact, read_facts
from ops.queries.dead_letters import DeadLetterRow
from ops.queries.event_trace import AuditedChange
from ops.terminal.formats import format_time
from ops.terminal.output import (
    Columns,
    Json,
    key_values,
    make_table,
    print_list,
    print_rows,
    print_table,
    print_text,
    to_json,
)
from runtime.inbox.entries import PeekedEvent
from runtime.ledger.errors import IDENTITY_CONFLICT

_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterList:
    """Letters, and what waits in Redis until PostgreSQL takes it; why one was not looked into."""

    letters: Sequence[DeadLetterRow]
    waiting: Sequence[PeekedEvent]
    more: bool
    unavailable: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDeadLetter:
    """One letter and everything that was done about it."""

    letter: DeadLetterRow
    changes: Sequence[AuditedChange]


def print_dead_letters(listed: DeadLetterList, *, as_json: bool) -> None:
    """Print the dead letters, and below them the events that will become dead letters."""
    print_list(
        "dead_letters",
        listed.letters,
        _COLUMNS,
        as_json=as_json,
        empty=None if listed.unavailable else "no dead letter matches",
        notes=["there are more: --limit shows them"] if listed.more else [],
        row_document=lambda letter: _letter(letter, payload=False),
        more=listed.more,
        dead_letter_pending=[_peeked_values(peeked) for peeked in listed.waiting],
        unavailable=list(listed.unavailable),
    )
    if listed.waiting and not as_json:
        print_text("\nin Redis until PostgreSQL takes them", style="bold")
        print_rows(_PENDING_COLUMNS, listed.waiting)


def shown_document(shown: ShownDeadLetter, *, payload: bool) -> Json:
    """Return one dead letter as JSON values."""
    facts, no_facts_reason = read_facts(shown.letter.payload.encode())
    return {
        "dead_letter": _letter(shown.letter, payload=payload),
        "would_state": [dict(fact) for fact in facts],
        "no_facts_reason": None if facts else no_facts_reason,
        "changes": [to_json(asdict(change)) for change in shown.changes],
    }


def print_shown(shown: ShownDeadLetter, *, payload: bool) -> None:
    """Print one dead letter: its errors, its facts, the actions so far, and the next commands."""
    letter = shown.letter
    print_text(letter.event_id, style="bold")
    print_table(key_values(_words(letter)))
    _print_past(letter)
    facts, no_facts_reason = read_facts(letter.payload.encode())
    print_text("\nfacts it would state", style="bold")
    for fact in facts:
        print_text(describe_fact(fact), indent=2)
    if not facts:
        print_text(f"nothing ({no_facts_reason})" if no_facts_reason else "nothing", indent=2)
    if shown.changes:
        print_text("\nactions", style="bold")
        done = [(format_time(c.occurred_at), c.action, c.actor, c.reason) for c in shown.changes]
        print_table(make_table(("at", "action", "by", "reason"), done))
    if payload:
        print_text("\nbody sent by Stripe", style="bold")
        print_text(_pretty(letter.payload))
    for hint in _hints(letter):
        print_text(hint, style="dim")


def peeked_document(peeked: PeekedEvent, *, payload: bool) -> Json:
    """Return an event that is not a dead letter yet as JSON values."""
    body = {"payload": peeked.body.decode("utf-8", "replace")} if payload else {}
    return {"dead_letter_pending": {**_peeked_values(peeked), **body}}


def print_peeked(peeked: PeekedEvent, *, payload: bool) -> None:
    """Print an event that is not a dead letter yet."""
    print_text(peeked.key, style="bold")
    words = {
        "status": "in Redis; a worker writes its dead letter as soon as PostgreSQL is reachable",
        "type": peeked.header.get("type"),
        "error": error_of(peeked),
        "received": format_time(peeked.received_at),
    }
    print_table(key_values(words.items()))
    if payload:
        print_text(_pretty(peeked.body.decode("utf-8", "replace")))


def error_of(peeked: PeekedEvent) -> str:
    """Return the error that makes the event a dead letter."""
    if peeked.state == "conflict":
        return IDENTITY_CONFLICT
    return str(peeked.history.get("last_error", ""))


def _words(letter: DeadLetterRow) -> Iterator[tuple[str, object]]:
    yield "status", f"a dead letter, {letter.state}"
    yield "type", letter.type
    yield "error", f"{letter.error_type}: {letter.error}"
    yield "attempts", letter.attempts
    yield "received", format_time(letter.received_at)
    yield "first failed", format_time(letter.first_failed_at)
    yield "last failed", format_time(letter.last_failed_at)
    if letter.resolved_at:
        yield letter.state, f"{format_time(letter.resolved_at)} by {letter.resolved_by}"
    if letter.reason:
        yield "reason", letter.reason


def _print_past(letter: DeadLetterRow) -> None:
    if not letter.history:
        return
    print_text("\nearlier failures", style="bold")
    past = [
        (old.get("failed_at"), old.get("error_type"), old.get("error"), old.get("attempts"))
        for old in letter.history
    ]
    print_table(make_table(("at", "error", "message", "attempts"), past))


def _hints(letter: DeadLetterRow) -> Iterator[str]:
    key = f"'{letter.event_id}'" if "#" in letter.event_id else letter.event_id
    if letter.state != "replayed":
        yield f"\npaidup dead replay {key} --dry-run       see what a replay would change"
        yield f"paidup dead replay {key} --reason ...    replay it once the cause is fixed"
    if letter.state == "open":
        yield f"paidup dead discard {key} --reason ...   discard it for good"


def _error(letter: DeadLetterRow) -> str:
    said = f"{letter.error_type}: {letter.error}"
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"


def _letter(letter: DeadLetterRow, *, payload: bool) -> Json:
    values = asdict(letter)
    if not payload:
        del values["payload"]
    return to_json(values)


def _peeked_values(peeked: PeekedEvent) -> dict[str, Json]:
    return {
        "event_id": peeked.key,
        "type": peeked.header.get("type"),
        "error": error_of(peeked),
        "received_at": to_json(peeked.received_at),
    }


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


_COLUMNS: Columns[DeadLetterRow] = {
    "last failed": lambda letter: format_time(letter.last_failed_at),
    "type": lambda letter: letter.type,
    "event": lambda letter: letter.event_id,
    "state": lambda letter: letter.state,
    "attempts": lambda letter: letter.attempts,
    "error": _error,
}
_PENDING_COLUMNS: Columns[PeekedEvent] = {
    "received": lambda peeked: format_time(peeked.received_at),
    "type": lambda peeked: peeked.header.get("type"),
    "event": lambda peeked: peeked.key,
    "error": error_of,
}
