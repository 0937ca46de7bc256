"""Entitlement changes, for people and for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import click

from ops.terminal import output as listing
from ops.terminal.formats import stamp
from ops.terminal.output import Json
from runtime.changes.feed import Change

_COLUMNS = ("cursor", "at", "user", "change", "plan", "source", "event", "because")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some changes in order, and the cursor to go on from."""

    changes: Sequence[Change]
    cursor: int
    more: bool


def as_document(page: Page) -> Json:
    """The page as JSON values."""
    listed = [listing.plain(asdict(change)) for change in page.changes]
    return {"changes": listed, "cursor": page.cursor, "more": page.more}


def print_page(page: Page) -> None:
    """One row for each change, and how to go on."""
    if not page.changes:
        listing.say("no change after this cursor")
        return
    listing.show(listing.table(_COLUMNS, [_row(change) for change in page.changes]))
    if page.more:
        listing.say(f"there are more: --after {page.cursor} shows them", style="dim")


def print_line(change: Change, *, as_json: bool) -> None:
    """One change as one line, out at once even into a pipe."""
    if as_json:
        click.echo(json.dumps(listing.plain(asdict(change)), ensure_ascii=False))
    else:
        click.echo("  ".join(map(listing.visible, _row(change))))


def _row(change: Change) -> tuple[object, ...]:
    at = stamp(change.occurred_at)
    what = (change.user_id, change.change, change.plan_code, change.source)
    return (change.cursor, at, *what, change.event_id, change.reason)
