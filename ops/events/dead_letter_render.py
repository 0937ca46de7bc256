"""Dead letters for people and for programs, and what is on its way to become one."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from ops.events.facts_text import facts_in, tell
from ops.queries.dead_letters import Letter
from ops.queries.event_trace import Change
from ops.terminal.formats import stamp
from ops.terminal.output import Json, facing, plain, say, show, table
from runtime.inbox.entries import Glimpse
from runtime.ledger.errors import IDENTITY_CONFLICT

_COLUMNS = ("last failed", "type", "event", "state", "attempts", "error")
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Letters, and what waits in Redis until PostgreSQL takes it; why one was not looked into."""

    letters: Sequence[Letter]
    waiting: Sequence[Glimpse]
    more: bool
    away: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One letter and everything that was done about it."""

    letter: Letter
    changes: Sequence[Change]


def listed_document(listed: Listed) -> Json:
    """The list as JSON values."""
    return {
        "dead_letters": [_letter(letter, payload=False) for letter in listed.letters],
        "more": listed.more,
        "not_buried_yet": [_glimpse(glimpse) for glimpse in listed.waiting],
        "away": list(listed.away),
    }


def print_listed(listed: Listed) -> None:
    """The list as a person reads it."""
    rows = [
        (stamp(e.last_failed_at), e.type, e.event_id, e.state, e.attempts, _error(e))
        for e in listed.letters
    ]
    if rows:
        show(table(_COLUMNS, rows))
    elif not listed.away:
        say("no dead letter matches")
    if listed.more:
        say("there are more: --limit shows them", style="dim")
    if listed.waiting:
        say("\nin Redis until PostgreSQL takes them", style="bold")
        waiting = [
            (stamp(g.received_at), g.header.get("type"), g.key, error_of(g)) for g in listed.waiting
        ]
        show(table(("received", "type", "event", "error"), waiting))


def shown_document(shown: Shown, *, payload: bool) -> Json:
    """One letter as JSON values."""
    facts, why_none = facts_in(shown.letter.payload.encode())
    return {
        "dead_letter": _letter(shown.letter, payload=payload),
        "would_state": [dict(fact) for fact in facts],
        "states_nothing_because": None if facts else why_none,
        "changes": [plain(asdict(change)) for change in shown.changes],
    }


def print_shown(shown: Shown, *, payload: bool) -> None:
    """One letter as a person reads it: what is wrong, what was tried, what can be done."""
    letter = shown.letter
    say(letter.event_id, style="bold")
    show(facing(_words(letter)))
    _print_past(letter)
    facts, why_none = facts_in(letter.payload.encode())
    say("\nwhat it would state", style="bold")
    for fact in facts:
        say(tell(fact), indent=2)
    if not facts:
        say(f"nothing ({why_none})" if why_none else "nothing", indent=2)
    if shown.changes:
        say("\nwhat was done", style="bold")
        done = [(stamp(c.occurred_at), c.action, c.actor, c.reason) for c in shown.changes]
        show(table(("at", "what", "by", "because"), done))
    if payload:
        say("\nwhat Stripe sent", style="bold")
        say(_pretty(letter.payload))
    for hint in _hints(letter):
        say(hint, style="dim")


def glimpse_document(glimpse: Glimpse, *, payload: bool) -> Json:
    """An event that is not a letter yet, as JSON values."""
    body = {"payload": glimpse.body.decode("utf-8", "replace")} if payload else {}
    return {"not_buried_yet": {**_glimpse_values(glimpse), **body}}


def print_glimpse(glimpse: Glimpse, *, payload: bool) -> None:
    """An event that is not a letter yet, as a person reads it."""
    say(glimpse.key, style="bold")
    words = {
        "is": "in Redis; a worker makes a dead letter of it as soon as PostgreSQL takes it",
        "type": glimpse.header.get("type"),
        "error": error_of(glimpse),
        "received": stamp(glimpse.received_at),
    }
    show(facing(words.items()))
    if payload:
        say(_pretty(glimpse.body.decode("utf-8", "replace")))


def error_of(glimpse: Glimpse) -> str:
    """Why an event is to become a letter."""
    if glimpse.state == "apart":
        return IDENTITY_CONFLICT
    return str(glimpse.history.get("last_error", ""))


def _words(letter: Letter) -> Iterator[tuple[str, object]]:
    yield "is", f"a dead letter, {letter.state}"
    yield "type", letter.type
    yield "error", f"{letter.error_type}: {letter.error}"
    yield "attempts", letter.attempts
    yield "received", stamp(letter.received_at)
    yield "first failed", stamp(letter.first_failed_at)
    yield "last failed", stamp(letter.last_failed_at)
    if letter.resolved_at:
        yield letter.state, f"{stamp(letter.resolved_at)} by {letter.resolved_by}"
    if letter.reason:
        yield "reason", letter.reason


def _print_past(letter: Letter) -> None:
    if not letter.history:
        return
    say("\nit failed before", style="bold")
    past = [
        (old.get("failed_at"), old.get("error_type"), old.get("error"), old.get("attempts"))
        for old in letter.history
    ]
    show(table(("at", "error", "which says", "attempts"), past))


def _hints(letter: Letter) -> Iterator[str]:
    key = f"'{letter.event_id}'" if "#" in letter.event_id else letter.event_id
    if letter.state != "replayed":
        yield f"\npaidup dead replay {key} --dry-run       what a replay would change"
        yield f"paidup dead replay {key} --reason ...    once what is wrong is mended"
    if letter.state == "open":
        yield f"paidup dead discard {key} --reason ...   if it is never to be applied"


def _error(letter: Letter) -> str:
    said = f"{letter.error_type}: {letter.error}"
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"


def _letter(letter: Letter, *, payload: bool) -> Json:
    values = asdict(letter)
    if not payload:
        del values["payload"]
    return plain(values)


def _glimpse(glimpse: Glimpse) -> Json:
    return _glimpse_values(glimpse)


def _glimpse_values(glimpse: Glimpse) -> dict[str, Json]:
    return {
        "event_id": glimpse.key,
        "type": glimpse.header.get("type"),
        "error": error_of(glimpse),
        "received_at": plain(glimpse.received_at),
    }


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
