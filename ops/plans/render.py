"""Print what other plans would change, as text or JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ops.plans.diff import PlansDiff, UnlistedPrice, UserChange
from ops.queries.rows import GrantChange
from ops.terminal.formats import format_count, format_features, format_time
from ops.terminal.output import Columns, Json, print_rows, print_text, to_json
from runtime.ledger.write import CHANGES


def diff_document(
    path: Path, version: int, diff: PlansDiff, shown: Sequence[UserChange], *, same: bool
) -> Json:
    """Return all findings as JSON values, with the ``shown`` users in detail."""
    return {
        "file": str(path),
        "catalogue_version": version,
        "same_plans": same,
        "parties": diff.parties,
        "users": len(diff.users),
        "grants": {change: diff.changes[change] for change in CHANGES.values()},
        "shown": len(shown),
        "changes": to_json(shown),
        "prices_in_no_plan": [
            {"price": price, "users": len(unlisted.users), "without_user": unlisted.unlinked}
            for price, unlisted in _by_users(diff.unknown)
        ],
    }


def print_diff(
    path: Path, version: int, diff: PlansDiff, shown: Sequence[UserChange], *, same: bool
) -> None:
    """Print users with their access before and after, prices in no plan, and a summary."""
    if shown:
        print_rows(_USER_COLUMNS, shown)
    if len(shown) < len(diff.users):
        print_text(
            f"{format_count(len(diff.users) - len(shown), 'more user')}: --limit shows more",
            style="dim",
        )
    print_rows(_PRICE_COLUMNS, _by_users(diff.unknown), title="prices in no plan")
    print_text(_summary(path, version, diff, same=same), style="bold")


def _summary(path: Path, version: int, diff: PlansDiff, *, same: bool) -> str:
    relation = "equals" if same else "compared with"
    counted = ", ".join(f"{diff.changes[change]} {change}" for change in CHANGES.values())
    users = format_count(len(diff.users), "user")
    return (
        f"\n{path} {relation} the plans of record (version {version}): access of {users}"
        f" would change (grants: {counted}); nothing was changed"
    )


def _by_users(unknown: Mapping[str, UnlistedPrice]) -> list[tuple[str, UnlistedPrice]]:
    return sorted(unknown.items(), key=lambda each: (-len(each[1].users), each[0]))


def _describe_grant(each: GrantChange) -> str:
    described = f"{each.change} {each.plan_code} ({each.source})"
    before, after = each.before, each.after
    if before is None or after is None or before.expires_at == after.expires_at:
        return described
    # A longer or shorter grace period changes only the end.
    until = f"until {format_time(after.expires_at)}" if after.expires_at else "without end"
    return f"{described} {until}"


_USER_COLUMNS: Final[Columns[UserChange]] = {
    "user": lambda user: user.user_id,
    "grants": lambda user: ", ".join(map(_describe_grant, user.grants)),
    "before": lambda user: format_features(user.before) or "nothing",
    "after": lambda user: format_features(user.after) or "nothing",
}
_PRICE_COLUMNS: Final[Columns[tuple[str, UnlistedPrice]]] = {
    "price": lambda row: row[0],
    "paying users": lambda row: len(row[1].users),
    "payers without a user": lambda row: row[1].unlinked,
}
