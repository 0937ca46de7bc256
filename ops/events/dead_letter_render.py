"""Print dead letters and events about to become one, or turn them into JSON values."""

from collections.abc import Mapping, Sequence
from typing import Any

from ops.errors import first_line
from ops.events.facts_text import print_facts, read_facts
from ops.events.render import (
    CHANGE_COLUMNS,
    letter_document,
    letter_words,
    pending_words,
    print_body,
)
from ops.queries.audit import AuditEntry
from ops.queries.dead_letters import DeadLetterRow
from ops.terminal.formats import format_stored_time, format_time
from ops.terminal.output import (
    Columns,
    Json,
    print_calls,
    print_json,
    print_pairs,
    print_rows,
    print_text,
    to_json,
)
from runtime.inbox.entries import PeekedEvent
from runtime.ledger.errors import IDENTITY_CONFLICT

_LONGEST = 200


def print_dead_letter(
    letter: DeadLetterRow, changes: Sequence[AuditEntry], *, payload: bool, as_json: bool
) -> None:
    """Print one dead letter: its errors, its facts, the actions so far, and the next commands."""
    facts, no_facts_reason = read_facts(letter.payload.encode())
    if as_json:
        body = {"payload": letter.payload} if payload else {}
        print_json(
            {
                "dead_letter": {**letter_document(letter), **body},
                "would_state": to_json(facts),
                "no_facts_reason": None if facts else no_facts_reason,
                "changes": to_json(changes),
            }
        )
        return
    print_text(letter.event_id, style="bold")
    print_pairs(letter_words(letter).items())
    print_rows(_FAILURE_COLUMNS, letter.history, title="earlier failures")
    print_facts("facts it would state", facts, no_facts_reason)
    print_rows(CHANGE_COLUMNS, changes, title="changes")
    if payload:
        print_body(letter.payload.encode())
    print_calls("next", _next_calls(letter))


def print_pending(peeked: PeekedEvent, *, payload: bool, as_json: bool) -> None:
    """Print an event that is not a dead letter yet."""
    if as_json:
        body = {"payload": peeked.body.decode("utf-8", "replace")} if payload else {}
        print_json({"dead_letter_pending": {**pending_document(peeked), **body}})
        return
    print_text(peeked.key, style="bold")
    words = {
        "status": "in Redis; a worker writes its dead letter as soon as PostgreSQL is reachable",
        "last error": error_of(peeked),
    }
    print_pairs((pending_words(peeked) | words).items())
    if payload:
        print_body(peeked.body)


def pending_document(peeked: PeekedEvent) -> dict[str, Json]:
    """Return an event that is not a dead letter yet as JSON values."""
    return {
        "event_id": peeked.key,
        "type": peeked.header.get("type"),
        "error": error_of(peeked),
        "received_at": to_json(peeked.received_at),
    }


def error_of(peeked: PeekedEvent) -> str:
    """Return the error that makes the event a dead letter."""
    if peeked.state == "conflict":
        return IDENTITY_CONFLICT
    return str(peeked.history.get("last_error", ""))


def _next_calls(letter: DeadLetterRow) -> dict[str, str]:
    key = f"'{letter.event_id}'" if "#" in letter.event_id else letter.event_id
    if letter.state == "replayed":
        return {f"paidup events show {key}": "see what the replay changed"}
    calls = {
        f"paidup dead replay {key} --dry-run": "see what a replay would change",
        f"paidup dead replay {key} --reason '...'": "replay it once the cause is fixed",
    }
    if letter.state == "open":
        calls[f"paidup dead discard {key} --reason '...'"] = "discard it for good"
    return calls


def _error(letter: DeadLetterRow) -> str:
    said = f"{letter.error_type}: {first_line(letter.error)}"
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"


LETTER_COLUMNS: Columns[DeadLetterRow] = {
    "last failed": lambda letter: format_time(letter.last_failed_at),
    "type": lambda letter: letter.type,
    "event": lambda letter: letter.event_id,
    "state": lambda letter: letter.state,
    "attempts": lambda letter: letter.attempts,
    "error": _error,
}
PENDING_COLUMNS: Columns[PeekedEvent] = {
    "received": lambda peeked: format_time(peeked.received_at),
    "type": lambda peeked: peeked.header.get("type"),
    "event": lambda peeked: peeked.key,
    "error": lambda peeked: first_line(error_of(peeked)),
}
_FAILURE_COLUMNS: Columns[Mapping[str, Any]] = {
    "at": lambda failure: format_stored_time(failure.get("failed_at")),
    "error": lambda failure: failure.get("error_type"),
    "message": lambda failure: failure.get("error"),
    "attempts": lambda failure: failure.get("attempts"),
}
