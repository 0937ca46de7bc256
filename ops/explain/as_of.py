"""Access of a user at a past moment, and the audit entries that prove it. Pure.

The audit records every change of access, whether an event, time, new plans or a rebuild caused it.
An end that was known at the time counts at its instant, even if its entry was written later.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from billing.projection.effective import EffectiveValue, effective_values
from billing.rows import EntitlementRow, Key
from ops.explain.reasons import FeatureAnswer, SourceReason, build_answer, plans_with, reason_fields
from ops.queries.audit_history import AccessEntry, AccessHistory
from ops.terminal.formats import format_time


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOfReason(SourceReason):
    """The meaning of one source under one plan for one feature, and the entry that proves it."""

    entry: AccessEntry


def grants_as_of(history: AccessHistory) -> list[tuple[EntitlementRow, AccessEntry]]:
    """Return every grant that the user had, or had lost, by then, with the entry that says so."""
    found: dict[Key, tuple[EntitlementRow, AccessEntry]] = {}
    for each in history.entries:
        if each.before:
            found.pop(each.before.key, None)
        if row := each.after or each.before:
            now = row if each.after else replace(row, active=False, because=_GONE)
            found[row.key] = (now, each.entry)
    return list(found.values())


_GONE = "No stored fact states it any more."


def effective_value(history: AccessHistory) -> dict[str, EffectiveValue]:
    """Return what the view ``effective_entitlements`` contained, by feature."""
    return effective_values((row for row, _ in grants_as_of(history)), history.at)


def features_as_of(history: AccessHistory) -> list[str]:
    """Return every feature that the user's grants, current or lost, gave by then."""
    return sorted({name for row, _ in grants_as_of(history) for name in row.entitlements})


def explain_as_of(
    history: AccessHistory, features: Iterable[str]
) -> tuple[FeatureAnswer[AsOfReason], ...]:
    """Explain each of these features."""
    known, effective = grants_as_of(history), effective_value(history)
    among = [row for row, _ in known]

    def answer(feature: str) -> FeatureAnswer[AsOfReason]:
        reasons = [
            AsOfReason(**reason_fields(row, feature, among, effective, history.at), entry=entry)
            for row, entry in known
            if feature in row.entitlements
        ]
        reasons.sort(key=lambda each: (not each.counts, not each.in_force, -each.entry.id))
        plans = plans_with(history.plans, feature)
        sold = f"plans that did: {plans}" if plans else "no plan gave it"
        missing = f"{history.user_id} had nothing that gave it; {sold}"
        return build_answer(feature, effective.get(feature), reasons, missing)

    return tuple(map(answer, features))


def describe_no_entries(history: AccessHistory) -> str:
    """Return the sentence about a user whose access the audit does not know at the time."""
    if history.first is None:
        return f"the audit log has no entry about access of {history.user_id}"
    since = format_time(history.first.at)
    return (
        f"at {format_time(history.at)} the audit log had no entry about access of"
        f" {history.user_id}: it begins at {since} with entry {history.first.id},"
        f" {history.first.action}"
    )
