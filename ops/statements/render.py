"""Print what people stated, and what follows from it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from billing.projection.effective import EffectiveValue
from ops.queries.grants import ListedGrant
from ops.statements.access import UserAccess
from ops.statements.grants import GrantResult
from ops.terminal.formats import format_features, format_time
from ops.terminal.output import Columns, print_rows, print_text, printable

GRANT_COLUMNS: Columns[ListedGrant] = {
    "grant": lambda each: each.grant,
    "user": lambda each: each.user_id,
    "gives": lambda each: _gives(each.plan_code, each.features),
    "state": lambda each: each.state if each.realm != "test" else f"{each.state} (test)",
    "from": lambda each: format_time(each.starts_at),
    "until": lambda each: format_time(each.ended_at or each.until) if _ends(each) else "for good",
    "by": lambda each: each.ended_by or each.actor,
    "reason": lambda each: each.end_reason or each.reason,
}


_RESULT_COLUMNS: Columns[GrantResult] = {
    "user": lambda each: each.user_id,
    "gives": lambda each: _gives(each.plan_code, each.features),
    "from": lambda each: format_time(each.starts_at),
    "until": lambda each: format_time(each.until) if each.until else "for good",
    "may use then": lambda each: ", ".join(access_lines(each.before, each.after)),
    "reason": lambda each: each.reason,
}


def print_grants(results: Sequence[GrantResult]) -> None:
    """Print the grants of a file as they would be made, and what each user may do by them."""
    print_rows(_RESULT_COLUMNS, results)


class PrintGrant(Protocol):
    """Prints a grant that was made or ended, or would be."""

    def __call__(self, result: GrantResult, *, repeated: bool, dry_run: bool) -> None:
        """Print it; ``repeated`` if an earlier call did it."""


def print_added(result: GrantResult, *, repeated: bool, dry_run: bool) -> None:
    """Print a grant that was made, or would be, and what its user may do."""
    until = f"until {format_time(result.until)}" if result.until else "for good"
    # A grant that was not made has no id that could be ended.
    name = "" if dry_run and not repeated else f"{result.grant}: "
    _print_grant(result, f"{done_words('added', repeated=repeated, dry_run=dry_run)} {name}", until)


def print_ended(result: GrantResult, *, repeated: bool, dry_run: bool) -> None:
    """Print a grant that was ended, or would be, and what its user may do without it."""
    ended = f"{'would end' if dry_run and not repeated else 'ended'} {format_time(result.then)}"
    _print_grant(
        result, f"{done_words('ended', repeated=repeated, dry_run=dry_run)} {result.grant}: ", ended
    )


def done_words(done: str, *, repeated: bool, dry_run: bool) -> str:
    """Return what was done, would be, or was done by an earlier call."""
    would = f"would have {done}" if dry_run else done
    return f"{done} before:" if repeated else would


def _print_grant(result: GrantResult, done: str, until: str) -> None:
    gives = printable(_gives(result.plan_code, result.features))
    print_text(f"{done}{gives} for {printable(result.user_id)}")
    print_text(f"from {format_time(result.starts_at)}, {until}", indent=2)
    print_text(f"\nat {format_time(result.then)} {printable(result.user_id)} may use")
    for line in access_lines(result.before, result.after):
        print_text(line, indent=2)


def access_lines(before: UserAccess, after: UserAccess) -> Iterator[str]:
    """Yield a line for each feature before or after, with what changes."""
    names = sorted(before.features.keys() | after.features.keys())
    for name in names:
        had, has = before.features.get(name), after.features.get(name)
        change = "" if had == has else f" (before: {_value(had)})"
        yield f"{printable(name)}: {_value(has)}{change}"
    if not names:
        yield "nothing"


def _value(each: EffectiveValue | None) -> str:
    if each is None:
        return "no"
    how_much = "yes" if each.value is True else "no" if each.value is False else str(each.value)
    return f"{how_much}, {_until(each.expires_at)}"


def _until(at: datetime | None) -> str:
    return f"until {format_time(at)}" if at else "with no end in sight"


def _gives(plan_code: str | None, features: Mapping[str, object]) -> str:
    return f"plan {plan_code}" if plan_code else format_features(features)


def _ends(each: ListedGrant) -> bool:
    return each.ended_at is not None or each.until is not None
