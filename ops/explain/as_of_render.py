"""Print an explanation of a past moment, or turn it into JSON values."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from ops.explain.as_of import AsOfReason
from ops.explain.reasons import FeatureAnswer
from ops.explain.render import (
    answer_document,
    gives,
    how_much,
    of_source,
    print_answer,
    until,
)
from ops.queries.audit_history import AccessEntry, AccessHistory
from ops.terminal.formats import format_time
from ops.terminal.output import Json, print_text, to_json
from runtime.ledger.maintenance.reproject import CLOCK


def as_of_document(history: AccessHistory, answers: Sequence[FeatureAnswer[AsOfReason]]) -> Json:
    """Return the explanation as JSON values, with the ids of the audit entries behind it."""
    return {
        "user_id": history.user_id,
        "at": to_json(history.at),
        "catalogue_version": history.version,
        "features": [answer_document(answer, _reason_document) for answer in answers],
        "rests_on": history.entries[-1].id if history.entries else None,
    }


def _reason_document(reason: AsOfReason) -> Json:
    entry = reason.entry
    values = {name: to_json(value) for name, value in asdict(reason).items() if name != "entry"}
    return {
        **values,
        "entry": {
            "id": entry.id,
            "at": to_json(entry.at),
            "action": entry.action,
            "actor": entry.actor,
            "event_id": entry.event_id,
            "reason": entry.reason,
            "catalogue_version": entry.catalogue_version,
        },
    }


def print_as_of(history: AccessHistory, answers: Sequence[FeatureAnswer[AsOfReason]]) -> None:
    """Print each feature with its reasons and entries, then what the explanation is based on."""
    print_text(history.user_id, style="bold")
    for answer in answers:
        print_answer(answer, _verdict(answer), _lines)
    version = history.version
    plans = f"version {version}" if version else "none yet"
    newest = f"{len(history.entries)} audit entries, the newest {_name(history)}"
    print_text(
        f"\nas of {format_time(history.at)}, based on {newest}; catalogue then: {plans}",
        style="dim",
    )


def _name(history: AccessHistory) -> str:
    entry = history.entries[-1]
    return f"entry {entry.id} of {format_time(entry.at)}"


def _verdict(answer: FeatureAnswer[AsOfReason]) -> str:
    if not answer.allowed:
        return f"{answer.feature}: was not allowed"
    allowed = f"was allowed{how_much(answer)}, {until(answer.expires_at)}"
    return f"{answer.feature}: {allowed} by what was known then"


def _lines(reason: AsOfReason) -> Iterator[str]:
    yield f"{of_source(reason)}, {gives(reason, over=not reason.in_force)}"
    guess = " (a guess)" if reason.guessed else ""
    yield f"decided by {reason.event_id}{guess}"
    yield _entry(reason.entry)


def _entry(entry: AccessEntry) -> str:
    """Return the entry and its cause as words: an event, time, or an operator with a reason."""
    what = entry.action.removeprefix("entitlement.")
    by = entry.event_id or ("time" if entry.actor == CLOCK else entry.actor)
    asked = f" ({entry.reason})" if entry.reason and not entry.event_id else ""
    plans = f", by version {entry.catalogue_version} of the plans"
    plans = plans if entry.catalogue_version else ""
    return f"{what} at {format_time(entry.at)} by {by}{asked}{plans}: audit entry {entry.id}"
