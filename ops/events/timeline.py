"""Tell the way of an event: what happened to it when, and where it stands in a sentence. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from billing.readers.registry import IgnoredReason
from ops.errors import first_line
from ops.events.dead_letter_render import error_of
from ops.events.render import ShownEvent
from ops.queries.audit import AuditEntry
from ops.queries.dead_letters import OPEN, DeadLetterRow
from ops.queries.events import SettledEvent
from ops.terminal.formats import format_count, format_duration
from ops.terminal.money import format_money
from runtime.inbox.entries import PeekedEvent

_WHY_IGNORED: Final[Mapping[str, str]] = {
    IgnoredReason.UNKNOWN_TYPE: "Paidup does not read events of this type",
    IgnoredReason.NEEDS_API_KEY: "it says too little without Stripe's API: set STRIPE_API_KEY",
    IgnoredReason.WRONG_MODE: "it is of the mode, live or test, that PAIDUP_LIVEMODE leaves out",
    IgnoredReason.UNKNOWN_ACCOUNT: "it is of an account that PAIDUP_CONNECT_ACCOUNTS does not name",
    IgnoredReason.UNKNOWN_CONTEXT: "it is of an account or organization that is not configured",
    IgnoredReason.NOTHING_STATED: "it states nothing that access or money depends on",
    IgnoredReason.OBJECT_GONE: "Stripe no longer has its object",
    "discarded": "a person discarded it",
}
_USERS_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """Something that happened to an event; ``at`` is None for what has no time of its own.

    ``tone`` is ``good``, ``warn``, ``bad`` or empty, ``by`` a person or a program.
    """

    at: datetime | None
    title: str
    detail: str = ""
    by: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSummary:
    """The state of an event in one sentence; ``tone`` is ``good``, ``warn`` or ``bad``."""

    says: str
    tone: str


def timeline_of(shown: ShownEvent, actions: Sequence[AuditEntry]) -> tuple[TimelineEntry, ...]:
    """Return what happened to an event, oldest first; ``actions`` are what people did with it."""
    recorded = shown.recorded
    entries = [
        *_beginning(shown),
        *(entry for letter in recorded.letters for entry in _failures(letter)),
        *(
            TimelineEntry(at=seen.asked_at, title="Stripe's API was asked", detail=seen.object_id)
            for seen in recorded.seen
        ),
        *map(_action, actions),
        *([_settled(recorded.settled)] if recorded.settled else []),
    ]
    dated = [(each.at, number) for number, each in enumerate(entries) if each.at]
    return (
        *(entries[number] for _, number in sorted(dated)),
        *(_now(each) for each in shown.pending),
    )


def summary_of(shown: ShownEvent) -> EventSummary:
    """Return where the event stands, in one sentence."""
    recorded = shown.recorded
    is_open = next((each for each in recorded.letters if each.state == OPEN), None)
    if shown.pending and (recorded.settled is None or is_open):
        return _summary_of_pending(shown.pending[0])
    if is_open:
        error = f"{is_open.error_type}: {first_line(is_open.error)}"
        return EventSummary(
            says=f"It could not be applied and waits for a decision. {error}", tone="bad"
        )
    if recorded.settled:
        return _summary_of_settled(recorded.settled, shown)
    return EventSummary(
        says="It was discarded: it is never applied unless it is replayed.", tone="warn"
    )


def created_at_stripe(shown: ShownEvent) -> datetime | None:
    """Return when Stripe created the event, as far as its row says."""
    return shown.recorded.settled.created_at if shown.recorded.settled else None


def users_changed(changes: Sequence[AuditEntry]) -> tuple[str, ...]:
    """Return the users whose access changed, in the order of the changes."""
    return tuple(
        dict.fromkeys(
            each.user_id
            for each in changes
            if each.user_id and each.action.startswith("entitlement.")
        )
    )


def explain_ignored(reason: str | None) -> str:
    """Return why an event states nothing or was ignored, in words; another text as it is."""
    return _WHY_IGNORED.get(reason or "", reason or "")


def _summary_of_settled(event: SettledEvent, shown: ShownEvent) -> EventSummary:
    if event.outcome == "ignored":
        why = explain_ignored(event.reason)
        return EventSummary(
            says=f"Ignored: {why}.", tone="warn" if _worth_a_look(event) else "good"
        )
    if event.outcome == "superseded":
        says = "Superseded: newer events had already said the same or more about its object."
        return EventSummary(says=says, tone="good")
    took = format_duration(max((event.applied_at - event.received_at).total_seconds(), 0))
    effects = list(_effects(shown))
    did = " and ".join(effects) if effects else "changed neither access nor money"
    return EventSummary(says=f"Applied {took} after it was received: it {did}.", tone="good")


def _worth_a_look(event: SettledEvent) -> bool:
    return event.reason not in (
        IgnoredReason.UNKNOWN_TYPE,
        IgnoredReason.NOTHING_STATED,
        IgnoredReason.OBJECT_GONE,
    )


def _effects(shown: ShownEvent) -> Iterator[str]:
    users = users_changed(shown.recorded.changes)
    if users:
        more = f" and {len(users) - _USERS_NAMED} more" if len(users) > _USERS_NAMED else ""
        yield f"changed the access of {', '.join(users[:_USERS_NAMED])}{more}"
    if shown.recorded.movements:
        moved = (
            f"{each.kind.replace('_', ' ')} {format_money(each.amount_minor, each.currency)}"
            for each in shown.recorded.movements
        )
        yield f"moved money ({', '.join(moved)})"


def _summary_of_pending(peeked: PeekedEvent) -> EventSummary:
    attempts = int(peeked.history.get("attempts") or 0)
    if peeked.state == "conflict":
        says = "A different event under an id that is taken: it becomes a dead letter."
        return EventSummary(says=says, tone="bad")
    if peeked.state == "claimed":
        return EventSummary(says="A worker applies it at this moment.", tone="good")
    if attempts:
        times = format_count(attempts, "attempt")
        says = f"Parked after {times}; it is tried again. {first_line(error_of(peeked))}"
        return EventSummary(says=says, tone="warn")
    return EventSummary(says="It waits in the inbox for its turn.", tone="good")


def _beginning(shown: ShownEvent) -> Iterator[TimelineEntry]:
    settled, pending = shown.recorded.settled, shown.pending
    if created := created_at_stripe(shown):
        yield TimelineEntry(at=created, title="Created at Stripe")
    received = [
        *([settled.received_at] if settled else []),
        *(letter.received_at for letter in shown.recorded.letters if letter.received_at),
        *(each.received_at for each in pending if each.received_at),
    ]
    for at in sorted(set(received)):
        yield TimelineEntry(at=at, title="Received", by=_origin(settled, pending))


def _origin(settled: SettledEvent | None, pending: Sequence[PeekedEvent]) -> str:
    origins = [settled.origin] if settled else [str(each.header.get("origin")) for each in pending]
    return "" if origins[:1] in ([], ["stripe"], ["None"]) else origins[0]


def _failures(letter: DeadLetterRow) -> Iterator[TimelineEntry]:
    for earlier in letter.history:
        yield _earlier_failure(earlier)
    if letter.first_failed_at < letter.last_failed_at and letter.attempts > 1:
        yield TimelineEntry(at=letter.first_failed_at, title="First attempt failed", tone="warn")
    yield TimelineEntry(
        at=letter.last_failed_at,
        title=f"Became a dead letter after {format_count(letter.attempts, 'attempt')}",
        detail=f"{letter.error_type}: {first_line(letter.error)}",
        tone="bad",
    )


def _earlier_failure(failure: Mapping[str, Any]) -> TimelineEntry:
    try:
        at = datetime.fromisoformat(str(failure.get("failed_at")))
    except ValueError:
        at = None
    said = f"{failure.get('error_type')}: {first_line(str(failure.get('error') or ''))}"
    return TimelineEntry(at=at, title="Failed before", detail=said, tone="bad")


def _action(entry: AuditEntry) -> TimelineEntry:
    return TimelineEntry(
        at=entry.occurred_at,
        title=entry.action.replace("_", " ").replace(".", " ").capitalize(),
        detail=entry.reason or "",
        by=entry.actor,
    )


def _settled(event: SettledEvent) -> TimelineEntry:
    return TimelineEntry(
        at=event.applied_at,
        title=event.outcome.capitalize(),
        detail=(event.reason or "").replace("_", " "),
        tone="good" if event.outcome == "applied" else "",
    )


def _now(peeked: PeekedEvent) -> TimelineEntry:
    match peeked.state:
        case "claimed":
            return TimelineEntry(at=None, title="Now: claimed by a worker")
        case "conflict":
            return TimelineEntry(
                at=None, title="Now: a conflict in Redis", detail=peeked.key, tone="bad"
            )
        case _:
            failed = bool(peeked.history.get("attempts"))
            return TimelineEntry(
                at=peeked.due_at,
                title="Now: parked until then" if failed else "Now: due in the inbox",
                detail=first_line(error_of(peeked)),
                tone="warn" if failed else "",
            )
