"""Print one event for ``paidup events show``, or turn it into JSON values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ops.events.facts_text import print_facts, read_facts
from ops.queries.audit import AuditEntry
from ops.queries.dead_letters import DeadLetterRow
from ops.queries.event_trace import MoneyMovement, RecordedEvent, SeenObject
from ops.queries.events import SettledEvent
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_time
from ops.terminal.money import format_money
from ops.terminal.output import (
    Columns,
    Json,
    pick_fields,
    print_pairs,
    print_rows,
    print_text,
    to_json,
)
from runtime.inbox.entries import PeekedEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEvent:
    """Everything known about an event; ``inbox_error`` says why the inbox could not be read."""

    event_id: str
    recorded: RecordedEvent
    pending: tuple[PeekedEvent, ...]
    inbox_error: str | None

    @property
    def body(self) -> bytes:
        """The body that Stripe sent, from the database or the inbox."""
        if self.recorded.payload is not None:
            return self.recorded.payload.encode()
        if self.pending:
            return self.pending[0].body
        return self.recorded.letters[0].payload.encode()

    @property
    def stated(self) -> tuple[tuple[Mapping[str, Any], ...], str | None]:
        """The recorded facts, or those that the body will state once it is applied."""
        if self.recorded.settled:
            return self.recorded.facts, self.recorded.settled.reason
        return read_facts(self.body)


def as_document(shown: ShownEvent, *, payload: bool) -> Json:
    """Return the event as JSON values."""
    facts, no_facts_reason = shown.stated
    kept = shown.recorded
    body = {"payload": parse_body(shown.body)} if payload else {}
    return {
        "event_id": shown.event_id,
        "settled": to_json(kept.settled),
        "inbox": [_peeked_json(each) for each in shown.pending],
        "inbox_unavailable": shown.inbox_error,
        "dead_letters": [letter_document(letter) for letter in kept.letters],
        "facts": to_json(facts),
        "no_facts_reason": None if facts else no_facts_reason,
        "api_observations": to_json(kept.seen),
        "changes": to_json(kept.changes),
        "payment_events": to_json(kept.movements),
        **body,
    }


def print_event(shown: ShownEvent, *, payload: bool) -> None:
    """Print where the event is, the facts it states and the changes it caused."""
    print_text(shown.event_id, style="bold")
    recorded = shown.recorded
    places = [
        *([_settled_words(recorded.settled)] if recorded.settled else []),
        *map(pending_words, shown.pending),
        *map(letter_words, recorded.letters),
    ]
    for words in places:
        print_pairs(words.items())
    print_facts("facts" if recorded.settled else "facts it would state", *shown.stated)
    if recorded.settled:
        print_rows(_SEEN_COLUMNS, recorded.seen, title="shown by Stripe's API")
        print_rows(CHANGE_COLUMNS, recorded.changes, title="changes")
        if not recorded.changes:
            print_text("\nit changed nothing")
        print_rows(_MOVEMENT_COLUMNS, recorded.movements, title="money moved")
    if shown.inbox_error:
        says = f"The inbox was not read: {shown.inbox_error}"
        print_text(with_command_name(says), style="yellow")
    if payload:
        print_body(shown.body)


def letter_document(letter: DeadLetterRow) -> dict[str, Json]:
    """Return a dead letter without its payload as JSON values."""
    names = (each.name for each in fields(letter) if each.name != "payload")
    return pick_fields(letter, *names)


def letter_words(letter: DeadLetterRow) -> dict[str, object]:
    """Return a dead letter as names and values, to be printed."""
    words: dict[str, object] = {
        "status": f"a dead letter, {letter.state}",
        "key": letter.event_id,
        "type": letter.type,
        "error": f"{letter.error_type}: {letter.error}",
        "attempts": letter.attempts,
        "received": format_time(letter.received_at),
        "first failed": format_time(letter.first_failed_at),
        "last failed": format_time(letter.last_failed_at),
    }
    if letter.resolved_at:
        words[letter.state] = f"{format_time(letter.resolved_at)} by {letter.resolved_by}"
    if letter.reason:
        words["reason"] = letter.reason
    return words


def pending_words(peeked: PeekedEvent) -> dict[str, object]:
    """Return an event in the inbox as names and values, to be printed."""
    words: dict[str, object] = {
        "status": _place(peeked),
        "key": peeked.key,
        "type": peeked.header.get("type"),
        "object": peeked.header.get("object"),
        "lane": peeked.lane.value,
        "received": format_time(peeked.received_at),
    }
    if attempts := peeked.history.get("attempts"):
        words["attempts"] = attempts
    if error := peeked.history.get("last_error"):
        words["last error"] = error
    return words


def print_body(body: bytes) -> None:
    """Print the body that Stripe sent: indented JSON, or as it is if it is not JSON."""
    print_text("\nbody sent by Stripe", style="bold")
    parsed = parse_body(body)
    text = parsed if isinstance(parsed, str) else json.dumps(parsed, indent=2, ensure_ascii=False)
    print_text(text, wrap=False)


def parse_body(body: bytes) -> Json:
    """Return the body as JSON values, or as text if it is not JSON."""
    text = body.decode("utf-8", errors="replace")
    try:
        parsed: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return parsed


def _settled_words(event: SettledEvent) -> dict[str, object]:
    return {
        "status": f"settled: {event.outcome}" + (f" ({event.reason})" if event.reason else ""),
        "type": event.type,
        "object": event.object_id,
        "account and mode": event.realm,
        "API version": event.api_version,
        "created at Stripe": format_time(event.created_at),
        "received": format_time(event.received_at),
        "applied": format_time(event.applied_at),
        "attempts": event.attempts,
        "origin": event.origin,
    }


def _place(peeked: PeekedEvent) -> str:
    match peeked.state:
        case "claimed":
            return "in the inbox, claimed by a worker"
        case "conflict":
            return "a conflict: a different event under an id already in use; it is not applied"
        case _:
            until = peeked.due_at
            parked = until and peeked.received_at and until > peeked.received_at
            return (
                f"in the inbox, due at {format_time(until)}" if parked else "in the inbox, pending"
            )


def _peeked_json(peeked: PeekedEvent) -> Json:
    return {
        **pick_fields(peeked, "key", "state", "lane", "received_at", "due_at"),
        "type": peeked.header.get("type"),
        "attempts": peeked.history.get("attempts", 0),
        "last_error": peeked.history.get("last_error"),
    }


CHANGE_COLUMNS: Columns[AuditEntry] = {
    "at": lambda change: format_time(change.occurred_at),
    "change": lambda change: change.action,
    "of": lambda change: change.target_id,
    "user": lambda change: change.user_id,
    "by": lambda change: change.actor,
    "because": lambda change: change.reason,
}
_SEEN_COLUMNS: Columns[SeenObject] = {
    "asked at": lambda seen: format_time(seen.asked_at),
    "object": lambda seen: seen.object_id,
    "observation": lambda seen: seen.id,
    "shown": lambda seen: "it is gone" if seen.gone else seen.family,
}
_MOVEMENT_COLUMNS: Columns[MoneyMovement] = {
    "kind": lambda movement: movement.kind,
    "amount": lambda movement: format_money(movement.amount_minor, movement.currency),
    "payment": lambda movement: movement.payment_ref,
    "user": lambda movement: movement.user_id,
    "plan": lambda movement: movement.plan_code,
}
