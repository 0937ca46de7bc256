"""Print plans, their items and what a preview showed, as text or JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ops.bulk.plans import PlannedAction, PlannedItem, PreviewedChange
from ops.terminal.formats import format_count, format_time
from ops.terminal.output import Columns, Json, print_pairs, print_rows, print_text, to_json


def print_plan(plan: PlannedAction) -> None:
    """Print one plan: what it is about, who said what, and how far it has come."""
    print_text(f"plan {plan.id}: {plan.action} {format_count(plan.items, 'event')}", style="bold")
    print_pairs((name, value) for name, value in _pairs(plan) if value)


def plan_document(plan: PlannedAction) -> dict[str, Json]:
    """Return a plan as JSON values."""
    document = to_json(plan)
    assert isinstance(document, dict)  # noqa: S101 - of a dataclass
    return {**document, "done": done_of(plan)}


def done_of(plan: PlannedAction) -> int:
    """Return how many items are over."""
    return sum(plan.counts.values())


def print_attention(items: Sequence[PlannedItem], differences: Sequence[PreviewedChange]) -> None:
    """Print the items that were skipped or failed, and what the preview showed."""
    print_rows(_ITEM_COLUMNS, items, title="skipped or failed")
    print_rows(_DIFFERENCE_COLUMNS, differences, title="the preview showed")


def _pairs(plan: PlannedAction) -> Sequence[tuple[str, object]]:
    left = f"{done_of(plan)} of {plan.items}"
    approved = plan.approved_by and f"{plan.approved_by}, {_time(plan.approved_at)}"
    return (
        ("state", f"{plan.state}: {plan.state_reason}" if plan.state_reason else plan.state),
        ("progress", f"{left} ({_counted(plan.counts)})" if plan.counts else left),
        ("selected by", _said(plan.said)),
        ("made by", f"{plan.actor}, {_time(plan.made_at)}: {plan.reason}"),
        ("approved by", approved),
        ("without approval", plan.bypassed_by),
        ("previewed", _counted(plan.preview_counts)),
        ("rate", plan.rate and f"{plan.rate:g} a second"),
        ("fingerprint", plan.fingerprint),
    )


def _said(said: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_words(value)}" for name, value in said.items()) or "all"


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))


def _time(at: Any) -> str:
    return format_time(at) if at else ""


def _row_text(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    names = ("plan_code", "active", "expires_at", "status", "amount_minor", "currency")
    return " ".join(f"{name}={row[name]}" for name in names if row.get(name) is not None)


PLAN_COLUMNS: Final[Columns[PlannedAction]] = {
    "plan": lambda plan: plan.id,
    "action": lambda plan: plan.action,
    "events": lambda plan: plan.items,
    "done": done_of,
    "state": lambda plan: plan.state,
    "made": lambda plan: format_time(plan.made_at),
    "by": lambda plan: plan.actor,
    "reason": lambda plan: plan.reason,
}
_ITEM_COLUMNS: Final[Columns[PlannedItem]] = {
    "event": lambda item: item.key,
    "state": lambda item: item.state,
    "result": lambda item: item.said or "",
}
_DIFFERENCE_COLUMNS: Final[Columns[PreviewedChange]] = {
    "user": lambda each: each.user_id,
    "what": lambda each: each.kind,
    "before": lambda each: _row_text(each.before),
    "after": lambda each: _row_text(each.after),
}
