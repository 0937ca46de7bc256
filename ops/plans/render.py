"""What other plans would change, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from billing.rows import EntitlementRow
from ops.plans.diff import GrantChange, PlansDiff, UserChange, Waiting
from ops.terminal.formats import stamp
from ops.terminal.output import Json, plain, say, show, table
from runtime.ledger.write import CHANGES


def diff_document(
    path: Path, version: int, diff: PlansDiff, shown: Sequence[UserChange], *, same: bool
) -> Json:
    """Everything that was found, as JSON values; ``shown`` says of how many users in detail."""
    return {
        "file": str(path),
        "catalogue_version": version,
        "same_plans": same,
        "parties": diff.parties,
        "users": len(diff.users),
        "grants": {change: diff.changes[change] for change in CHANGES.values()},
        "shown": len(shown),
        "changes": [_user_document(each) for each in shown],
        "prices_in_no_plan": [
            {"price": price, "users": len(waiting.users), "without_user": waiting.unlinked}
            for price, waiting in _by_weight(diff.unknown)
        ],
    }


def print_diff(
    path: Path, version: int, diff: PlansDiff, shown: Sequence[UserChange], *, same: bool
) -> None:
    """Users with what they have before and after, what no plan sells, and a summary."""
    if shown:
        rows = [
            (each.user_id, _told(each), _given(each.before), _given(each.after)) for each in shown
        ]
        show(table(("user", "grants", "before", "after"), rows))
    if len(shown) < len(diff.users):
        say(f"and {len(diff.users) - len(shown)} more users: --limit shows more", style="dim")
    if diff.unknown:
        say("\nprices in no plan", style="bold")
        waiting = [
            (price, len(each.users), each.unlinked) for price, each in _by_weight(diff.unknown)
        ]
        show(table(("price", "users who wait", "payers not known as users"), waiting))
    say(_summary(path, version, diff, same=same), style="bold")


def _summary(path: Path, version: int, diff: PlansDiff, *, same: bool) -> str:
    relation = "says the same as" if same else "against"
    users = f"{len(diff.users)} {'user' if len(diff.users) == 1 else 'users'}"
    counted = ", ".join(f"{diff.changes[change]} {change}" for change in CHANGES.values())
    return (
        f"\n{path} {relation} the plans of record (version {version}): access of {users}"
        f" would change (grants: {counted}); nothing was changed"
    )


def _by_weight(unknown: Mapping[str, Waiting]) -> list[tuple[str, Waiting]]:
    return sorted(unknown.items(), key=lambda each: (-len(each[1].users), each[0]))


def _user_document(user: UserChange) -> Json:
    return {
        "user_id": user.user_id,
        "before": plain(user.before),
        "after": plain(user.after),
        "grants": [
            {
                "change": each.change,
                "source": each.row.source,
                "plan_code": each.row.plan_code,
                "before": plain(asdict(each.before)) if each.before else None,
                "after": plain(asdict(each.after)) if each.after else None,
            }
            for each in user.grants
        ],
    }


def _told(user: UserChange) -> str:
    return ", ".join(_change(each) for each in user.grants)


def _change(each: GrantChange) -> str:
    until = _new_end(each.before, each.after)
    return f"{each.change} {each.row.plan_code} ({each.row.source}){until}"


def _new_end(before: EntitlementRow | None, after: EntitlementRow | None) -> str:
    """Grace that becomes longer or shorter changes no feature, only for how long."""
    if before is None or after is None or before.expires_at == after.expires_at:
        return ""
    return f" until {stamp(after.expires_at)}" if after.expires_at else " without end"


def _given(features: Mapping[str, Any]) -> str:
    told = (name if value is True else f"{name} {plain(value)}" for name, value in features.items())
    return ", ".join(told) or "nothing"
