"""Say what the newest comparisons with Stripe found."""

from collections.abc import Mapping
from typing import Final

from ops.terminal.formats import format_count, format_time
from ops.terminal.output import Json, pick_fields
from runtime.reconciling import Disagreement

SHOW: Final = "`paidup reconcile show` lists them"


def describe_disagreement(found: Disagreement) -> str | None:
    """Return a sentence about what stands and what was put in; None if nothing was compared."""
    if not found.runs_at and found.agreed_at is None:
        return None
    agreed = f"agreed as of {format_time(found.agreed_at)}" if found.agreed_at else "never agreed"
    parts = [_standing(found.differences)] if found.standing else []
    if found.put_in:
        parts.append(f"{format_count(found.put_in, 'event')} put in within a day")
    return ", ".join([*parts, agreed])


def disagreement_document(found: Disagreement) -> Json:
    """Return it as JSON values."""
    names = ("differences", "put_in", "agreed_at", "runs_at")
    return {**pick_fields(found, *names), "says": describe_disagreement(found)}


def _standing(differences: Mapping[str, int]) -> str:
    named = [
        f"{number} {classed.replace('_', ' ')}" for classed, number in differences.items() if number
    ]
    total = sum(differences.values())
    return f"{format_count(total, 'difference')} ({', '.join(named)}): {SHOW}"
