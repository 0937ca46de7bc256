"""Print one event for ``paidup events show``, or turn it into JSON values."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ops.events.facts_text import describe_fact, read_facts
from ops.queries.dead_letters import DeadLetterRow
from ops.queries.event_trace import RecordedEvent
from ops.queries.events import SettledEvent
from ops.terminal.formats import format_money, format_time
from ops.terminal.output import Json, key_values, make_table, print_table, print_text, to_json
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
    document: dict[str, Json] = {
        "event_id": shown.event_id,
        "settled": to_json(asdict(kept.settled)) if kept.settled else None,
        "inbox": [_peeked_json(each) for each in shown.pending],
        "inbox_unavailable": shown.inbox_error,
        "dead_letters": [_letter(letter) for letter in kept.letters],
        "facts": [dict(fact) for fact in facts],
        "no_facts_reason": None if facts else no_facts_reason,
        "changes": [to_json(asdict(change)) for change in kept.changes],
        "payment_events": [to_json(asdict(movement)) for movement in kept.movements],
    }
    if payload:
        document["payload"] = _parsed(shown.body)
    return document


def print_event(shown: ShownEvent, *, payload: bool) -> None:
    """Print where the event is, the facts it states and the changes it caused."""
    print_text(shown.event_id, style="bold")
    for words in _places(shown):
        print_table(key_values(words.items()))
    _print_facts(shown)
    _print_consequences(shown.recorded)
    if shown.inbox_error:
        print_text(f"The inbox was not read: {shown.inbox_error}", style="yellow")
    if payload:
        _heading("body sent by Stripe")
        parsed = _parsed(shown.body)
        print_text(
            parsed if isinstance(parsed, str) else json.dumps(parsed, indent=2, ensure_ascii=False)
        )


def _places(shown: ShownEvent) -> Iterator[dict[str, object]]:
    if shown.recorded.settled:
        yield _settled_words(shown.recorded.settled)
    yield from map(_pending_words, shown.pending)
    yield from map(_letter_words, shown.recorded.letters)


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
        "failed attempts": event.attempts,
        "origin": event.origin,
    }


def _pending_words(peeked: PeekedEvent) -> dict[str, object]:
    words: dict[str, object] = {
        "status": _place(peeked),
        "key": peeked.key,
        "type": peeked.header.get("type"),
        "object": peeked.header.get("object"),
        "lane": peeked.lane.value,
        "received": format_time(peeked.received_at),
    }
    if attempts := peeked.history.get("attempts"):
        words["failed attempts"] = attempts
    if error := peeked.history.get("last_error"):
        words["last error"] = error
    return words


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


def _letter_words(letter: DeadLetterRow) -> dict[str, object]:
    words: dict[str, object] = {
        "status": f"a dead letter, {letter.state}",
        "key": letter.event_id,
        "type": letter.type,
        "error": f"{letter.error_type}: {letter.error}",
        "failed attempts": letter.attempts,
        "first failed": format_time(letter.first_failed_at),
        "last failed": format_time(letter.last_failed_at),
    }
    if letter.resolved_at:
        words[letter.state] = f"{format_time(letter.resolved_at)} by {letter.resolved_by}"
    if letter.reason:
        words["reason"] = letter.reason
    return words


def _print_facts(shown: ShownEvent) -> None:
    facts, no_facts_reason = shown.stated
    _heading("facts" if shown.recorded.settled else "facts it would state")
    for fact in facts:
        print_text(describe_fact(fact), indent=2)
    if not facts:
        print_text(f"nothing ({no_facts_reason})" if no_facts_reason else "nothing", indent=2)


def _print_consequences(kept: RecordedEvent) -> None:
    if not kept.settled:
        return
    _heading("changes")
    rows = [
        (format_time(c.occurred_at), c.action, c.target_id, c.user_id, c.actor, c.reason)
        for c in kept.changes
    ]
    if rows:
        print_table(make_table(("at", "change", "of", "user", "by", "because"), rows))
    else:
        print_text("nothing", indent=2)
    if kept.movements:
        _heading("money moved")
        moved = [
            (
                m.kind,
                format_money(m.amount_minor, m.currency),
                m.payment_ref,
                m.user_id,
                m.plan_code,
            )
            for m in kept.movements
        ]
        print_table(make_table(("kind", "amount", "payment", "user", "plan"), moved))


def _heading(text: str) -> None:
    print_text(f"\n{text}", style="bold")


def _peeked_json(peeked: PeekedEvent) -> Json:
    return {
        "key": peeked.key,
        "state": peeked.state,
        "lane": peeked.lane.value,
        "received_at": to_json(peeked.received_at),
        "due_at": to_json(peeked.due_at),
        "type": peeked.header.get("type"),
        "attempts": peeked.history.get("attempts", 0),
        "last_error": peeked.history.get("last_error"),
    }


def _letter(letter: DeadLetterRow) -> Json:
    return to_json({name: value for name, value in asdict(letter).items() if name != "payload"})


def _parsed(body: bytes) -> Json:
    """Return the body as JSON values, or as text if it is not JSON."""
    text = body.decode("utf-8", errors="replace")
    try:
        parsed: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return parsed
