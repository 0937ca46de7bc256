"""What a user could use at a moment that is over, and by which entries of the audit. Pure.

The audit has every change of access, whatever caused it: an event, time, new plans, a rebuild. An
end that was known then counts at its instant, whenever the entry about it was written.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from billing.projection.effective import Effective, effective
from billing.rows import EntitlementRow, Key
from ops.explain.reasons import Answer, Giving, answer, giving
from ops.queries.audit_history import Entry, History


@dataclass(frozen=True, slots=True, kw_only=True)
class Stood:
    """A source under a plan as it stood then, and the entry that says so."""

    row: EntitlementRow
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class PastReason(Giving):
    """What one source under one plan meant for one feature; ``entry`` is what that rests on."""

    entry: Entry


def stood(history: History) -> list[Stood]:
    """Everything the user had or had had by then."""
    found: dict[Key, Stood] = {}
    for entry in history.entries:
        if entry.before:
            found.pop(entry.before.key, None)
        row = entry.after or entry.before
        if row:
            found[row.key] = Stood(row=row, entry=entry)
    return [each if each.entry.after else _ended(each) for each in found.values()]


def _ended(each: Stood) -> Stood:
    """An entry without a state after it: nothing states such access any more."""
    row = replace(each.row, active=False, because=_GONE)
    return Stood(row=row, entry=each.entry)


_GONE = "Nothing that is kept states it any more."


def worth(history: History) -> dict[str, Effective]:
    """What the view would have said."""
    return effective((each.row for each in stood(history)), history.at)


def features_then(history: History) -> list[str]:
    """Every feature that anything the user had, or had had, gave."""
    return sorted({name for each in stood(history) for name in each.row.entitlements})


def explain_past(history: History, features: Iterable[str]) -> tuple[Answer[PastReason], ...]:
    """Answer for each of these features."""
    known, value = stood(history), worth(history)
    return tuple(_answer(history, known, value, feature) for feature in features)


def _answer(
    history: History, known: list[Stood], value: Mapping[str, Effective], feature: str
) -> Answer[PastReason]:
    among = [each.row for each in known]
    reasons = [
        PastReason(**giving(each.row, feature, among, value, history.at), entry=each.entry)
        for each in known
        if feature in each.row.entitlements
    ]
    reasons.sort(key=_weight)
    return answer(feature, value.get(feature), reasons, _missing(history, feature))


def _weight(reason: PastReason) -> tuple[bool, bool, int]:
    return not reason.counts, not reason.in_force, -reason.entry.id


def _missing(history: History, feature: str) -> str:
    plans = [plan.code for plan in history.plans.plans if feature in plan.features]
    sold = f"plans that did: {', '.join(plans)}" if plans else "no plan gave it"
    return f"{history.user_id} had nothing that gave it; {sold}"
