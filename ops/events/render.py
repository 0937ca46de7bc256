"""One event as ``paidup events show`` tells it, to people and to programs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ops.events.facts_text import facts_in, tell
from ops.queries.dead_letters import Letter
from ops.queries.event_trace import Recorded
from ops.queries.events import SettledEvent
from ops.terminal.formats import money, stamp
from ops.terminal.output import Json, facing, plain, say, show, table
from runtime.inbox.entries import Glimpse


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEvent:
    """Everything known of an event; ``blind`` says why the inbox could not be asked."""

    event_id: str
    recorded: Recorded
    pending: tuple[Glimpse, ...]
    blind: str | None

    @property
    def body(self) -> bytes:
        """What Stripe sent, from wherever it lies."""
        if self.recorded.payload is not None:
            return self.recorded.payload.encode()
        if self.pending:
            return self.pending[0].body
        return self.recorded.letters[0].payload.encode()

    @property
    def stated(self) -> tuple[tuple[Mapping[str, Any], ...], str | None]:
        """The facts that were recorded, or those that its body holds for later."""
        if self.recorded.settled:
            return self.recorded.facts, self.recorded.settled.reason
        return facts_in(self.body)


def as_document(shown: ShownEvent, *, payload: bool) -> Json:
    """All of it as JSON values."""
    facts, why_none = shown.stated
    kept = shown.recorded
    document: dict[str, Json] = {
        "event_id": shown.event_id,
        "settled": plain(asdict(kept.settled)) if kept.settled else None,
        "inbox": [_glimpse(each) for each in shown.pending],
        "inbox_unknown": shown.blind,
        "dead_letters": [_letter(letter) for letter in kept.letters],
        "facts": [dict(fact) for fact in facts],
        "states_nothing_because": None if facts else why_none,
        "changes": [plain(asdict(change)) for change in kept.changes],
        "payment_events": [plain(asdict(movement)) for movement in kept.movements],
    }
    if payload:
        document["payload"] = _parsed(shown.body)
    return document


def print_event(shown: ShownEvent, *, payload: bool) -> None:
    """All of it as a person reads it: where it is, what it states, what it changed."""
    say(shown.event_id, style="bold")
    for words in _whereabouts(shown):
        show(facing(words.items()))
    _print_facts(shown)
    _print_consequences(shown.recorded)
    if shown.blind:
        say(f"the inbox was not looked into: {shown.blind}", style="yellow")
    if payload:
        _heading("what Stripe sent")
        parsed = _parsed(shown.body)
        say(parsed if isinstance(parsed, str) else json.dumps(parsed, indent=2, ensure_ascii=False))


def _whereabouts(shown: ShownEvent) -> Iterator[dict[str, object]]:
    if shown.recorded.settled:
        yield _settled_words(shown.recorded.settled)
    yield from map(_pending_words, shown.pending)
    yield from map(_letter_words, shown.recorded.letters)


def _settled_words(event: SettledEvent) -> dict[str, object]:
    return {
        "is": f"settled: {event.outcome}" + (f" ({event.reason})" if event.reason else ""),
        "type": event.type,
        "object": event.object_id,
        "account and mode": event.realm,
        "API version": event.api_version,
        "created at Stripe": stamp(event.created_at),
        "received": stamp(event.received_at),
        "applied": stamp(event.applied_at),
        "failed attempts": event.attempts,
        "origin": event.origin,
    }


def _pending_words(glimpse: Glimpse) -> dict[str, object]:
    words: dict[str, object] = {
        "is": _place(glimpse),
        "key": glimpse.key,
        "type": glimpse.header.get("type"),
        "object": glimpse.header.get("object"),
        "lane": glimpse.lane.value,
        "received": stamp(glimpse.received_at),
    }
    if attempts := glimpse.history.get("attempts"):
        words["failed attempts"] = attempts
    if error := glimpse.history.get("last_error"):
        words["last error"] = error
    return words


def _place(glimpse: Glimpse) -> str:
    match glimpse.state:
        case "claimed":
            return "in the inbox, claimed by a worker just now"
        case "apart":
            return "a different event under an id that was taken; it is kept apart, not applied"
        case _:
            until = glimpse.due_at
            parked = until and glimpse.received_at and until > glimpse.received_at
            return f"in the inbox, due at {stamp(until)}" if parked else "in the inbox, pending"


def _letter_words(letter: Letter) -> dict[str, object]:
    words: dict[str, object] = {
        "is": f"a dead letter, {letter.state}",
        "key": letter.event_id,
        "type": letter.type,
        "error": f"{letter.error_type}: {letter.error}",
        "failed attempts": letter.attempts,
        "first failed": stamp(letter.first_failed_at),
        "last failed": stamp(letter.last_failed_at),
    }
    if letter.resolved_at:
        words[letter.state] = f"{stamp(letter.resolved_at)} by {letter.resolved_by}"
    if letter.reason:
        words["reason"] = letter.reason
    return words


def _print_facts(shown: ShownEvent) -> None:
    facts, why_none = shown.stated
    _heading("what it stated" if shown.recorded.settled else "what it would state")
    for fact in facts:
        say(tell(fact), indent=2)
    if not facts:
        say(f"nothing ({why_none})" if why_none else "nothing", indent=2)


def _print_consequences(kept: Recorded) -> None:
    if not kept.settled:
        return
    _heading("what it changed")
    rows = [
        (stamp(c.occurred_at), c.action, c.target_id, c.user_id, c.actor, c.reason)
        for c in kept.changes
    ]
    if rows:
        show(table(("at", "change", "of", "user", "by", "because"), rows))
    else:
        say("nothing", indent=2)
    if kept.movements:
        _heading("what money it moved")
        moved = [
            (m.kind, money(m.amount_minor, m.currency), m.payment_ref, m.user_id, m.plan_code)
            for m in kept.movements
        ]
        show(table(("kind", "amount", "payment", "user", "plan"), moved))


def _heading(text: str) -> None:
    say(f"\n{text}", style="bold")


def _glimpse(glimpse: Glimpse) -> Json:
    return {
        "key": glimpse.key,
        "state": glimpse.state,
        "lane": glimpse.lane.value,
        "received_at": plain(glimpse.received_at),
        "due_at": plain(glimpse.due_at),
        "type": glimpse.header.get("type"),
        "attempts": glimpse.history.get("attempts", 0),
        "last_error": glimpse.history.get("last_error"),
    }


def _letter(letter: Letter) -> Json:
    return plain({name: value for name, value in asdict(letter).items() if name != "payload"})


def _parsed(body: bytes) -> Json:
    """The body as JSON values, or as the text it is where that cannot be done."""
    text = body.decode("utf-8", errors="replace")
    try:
        parsed: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return parsed
