"""Print what other plans would change, as text or JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ops.plans.diff import PlansDiff, UnlistedPrice, UserChange
from ops.plans.purchases import RevivedPurchase
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
        "updating_parties": diff.updating,
        "users": len(diff.users),
        "grants": {change: diff.changes[change] for change in CHANGES.values()},
        "shown": len(shown),
        "changes": to_json(shown),
        "purchases_of_another_plan": {
            "count": diff.moves.total(),
            "shown": to_json(diff.shown_moves),
        },
        "purchases_that_begin_again": {
            "count": diff.revived,
            "shown": to_json(diff.shown_revived),
        },
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
    _print_purchases(diff)
    print_rows(_PRICE_COLUMNS, _by_users(diff.unknown), title="prices in no plan")
    print_text(_summary(path, version, diff, same=same), style="bold")


def _print_purchases(diff: PlansDiff) -> None:
    """Print the purchases whose plan changes, by their plans, and those that begin again."""
    moves = sorted(diff.moves.items(), key=lambda each: (-each[1], str(each[0])))
    print_rows(_MOVE_COLUMNS, moves, title="purchases whose plan changes")
    if diff.revived:
        print_rows(
            _REVIVED_COLUMNS,
            diff.shown_revived,
            title="purchases that had ended and begin again: `plans apply` needs --revive",
        )
        more = diff.revived - len(diff.shown_revived)
        if more:
            print_text(f"{format_count(more, 'more purchase')}: --limit shows more", style="dim")


def _summary(path: Path, version: int, diff: PlansDiff, *, same: bool) -> str:
    relation = "equals" if same else "compared with"
    counted = ", ".join(f"{diff.changes[change]} {change}" for change in CHANGES.values())
    users = format_count(len(diff.users), "user")
    return (
        f"\n{path} {relation} the plans of record (version {version}): access of {users}"
        f" would change (grants: {counted}); nothing was changed{_updating(diff)}"
    )


def _updating(diff: PlansDiff) -> str:
    if not diff.updating:
        return ""
    parties = format_count(diff.updating, "party", "parties")
    return f"; old payments of {parties} follow an earlier change in steps, and count as before it"


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
_MOVE_COLUMNS: Final[Columns[tuple[tuple[str | None, str | None], int]]] = {
    "plan before": lambda row: row[0][0] or "none",
    "plan after": lambda row: row[0][1] or "none",
    "purchases": lambda row: row[1],
}
_REVIVED_COLUMNS: Final[Columns[RevivedPurchase]] = {
    "purchase": lambda each: each.purchase_ref,
    "user": lambda each: each.user_id,
    "plan": lambda each: each.plan_code,
    "until": lambda each: format_time(each.until) if each.until else "without end",
}
_PRICE_COLUMNS: Final[Columns[tuple[str, UnlistedPrice]]] = {
    "price": lambda row: row[0],
    "paying users": lambda row: len(row[1].users),
    "payers without a user": lambda row: row[1].unlinked,
}
