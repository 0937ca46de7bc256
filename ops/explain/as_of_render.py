"""An answer for the past in sentences, and as JSON values."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from ops.explain.as_of import PastReason
from ops.explain.reasons import Answer
from ops.explain.render import (
    answer_document,
    gives,
    how_much,
    of_source,
    print_answer,
    until,
)
from ops.queries.audit_history import Entry, History
from ops.terminal.formats import stamp
from ops.terminal.output import Json, plain, say
from runtime.ledger.maintenance.reproject import CLOCK


def past_document(history: History, answers: Sequence[Answer[PastReason]]) -> Json:
    """Everything that is said, with the numbers of the entries it rests on."""
    return {
        "user_id": history.user_id,
        "at": plain(history.at),
        "catalogue_version": history.version,
        "features": [answer_document(answer, _reason_document) for answer in answers],
        "rests_on": history.entries[-1].id if history.entries else None,
    }


def _reason_document(reason: PastReason) -> Json:
    entry = reason.entry
    values = {name: plain(value) for name, value in asdict(reason).items() if name != "entry"}
    return {
        **values,
        "entry": {
            "id": entry.id,
            "at": plain(entry.at),
            "action": entry.action,
            "actor": entry.actor,
            "event_id": entry.event_id,
            "reason": entry.reason,
            "catalogue_version": entry.catalogue_version,
        },
    }


def print_past(history: History, answers: Sequence[Answer[PastReason]]) -> None:
    """Each feature with its reasons and their entries, then what all of it rests on."""
    say(history.user_id, style="bold")
    for answer in answers:
        print_answer(answer, _verdict(answer), _lines)
    version = history.version
    plans = f"version {version}" if version else "none yet"
    newest = f"{len(history.entries)} entries of the audit, the last of them {_name(history)}"
    say(f"\nas of {stamp(history.at)}, by {newest}; plans of record then: {plans}", style="dim")


def _name(history: History) -> str:
    entry = history.entries[-1]
    return f"number {entry.id} of {stamp(entry.at)}"


def _verdict(answer: Answer[PastReason]) -> str:
    if not answer.allowed:
        return f"{answer.feature}: was not allowed"
    allowed = f"was allowed{how_much(answer)}, {until(answer.expires_at)}"
    return f"{answer.feature}: {allowed} by what was known"


def _lines(reason: PastReason) -> Iterator[str]:
    yield f"{of_source(reason)}, {gives(reason, over=not reason.in_force)}"
    guess = ", as a guess" if reason.guessed else ""
    yield f"decided by {reason.event_id}{guess}"
    yield _entry(reason.entry)


def _entry(entry: Entry) -> str:
    """The entry, and who caused it: an event, time, or somebody with a reason."""
    what = entry.action.removeprefix("entitlement.")
    by = entry.event_id or ("time" if entry.actor == CLOCK else entry.actor)
    asked = f" ({entry.reason})" if entry.reason and not entry.event_id else ""
    plans = f", by version {entry.catalogue_version} of the plans"
    plans = plans if entry.catalogue_version else ""
    return f"{what} at {stamp(entry.at)} by {by}{asked}{plans}: entry {entry.id} of the audit"
