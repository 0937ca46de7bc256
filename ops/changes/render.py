"""Print entitlement changes, or turn them into JSON values."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import click

from ops.terminal.formats import format_time
from ops.terminal.output import Columns, print_list, printable, to_json
from runtime.changes.feed import EntitlementChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some changes in order, and the cursor to continue from."""

    changes: Sequence[EntitlementChange]
    cursor: int
    more: bool


def print_page(page: Page, *, as_json: bool) -> None:
    """Print one row for each change, and how to continue."""
    print_list(
        "changes",
        page.changes,
        _COLUMNS,
        as_json=as_json,
        empty="no change after this cursor",
        notes=[f"there are more: --after {page.cursor} shows them"] if page.more else [],
        cursor=page.cursor,
        more=page.more,
    )


def print_line(change: EntitlementChange, *, as_json: bool) -> None:
    """Print one change as one line, flushed at once even into a pipe."""
    if as_json:
        click.echo(json.dumps(to_json(change), ensure_ascii=False))
    else:
        click.echo("  ".join(printable(cell(change)) for cell in _COLUMNS.values()))


_COLUMNS: Columns[EntitlementChange] = {
    "cursor": lambda change: change.cursor,
    "at": lambda change: format_time(change.occurred_at),
    "user": lambda change: change.user_id,
    "change": lambda change: change.change,
    "plan": lambda change: change.plan_code,
    "source": lambda change: change.source,
    "event": lambda change: change.event_id,
    "because": lambda change: change.reason,
}
