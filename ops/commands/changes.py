"""``paidup changes``."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain

import click
from sqlalchemy import Connection

from billing.text import storable
from ops import connections
from ops.changes.follow import follow as follow_changes
from ops.errors import CommandFailed
from ops.queries import parties as party_queries
from ops.queries.lookups import user_meant
from ops.terminal.formats import format_time
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.output import Columns, json_option, print_line, print_list, to_json
from ops.up.up_file import settings as find_settings
from runtime.changes.feed import EntitlementChange, changes_after, newest_changes, newest_cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesPage:
    """Some changes in order, and the cursor to continue from."""

    changes: Sequence[EntitlementChange]
    cursor: int
    more: bool
    unknown: str | None
    """A sentence if no event names the user."""


@click.command(epilog="Example: paidup changes --after 1200 --follow --json")
@click.option("--after", type=click.IntRange(0), help="Changes after this cursor; 0 is the start.")
@click.option("--user", help="Only changes of this user.")
@click.option("--follow", is_flag=True, help="Print new changes as they come, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
def changes(
    *, after: int | None, user: str | None, follow: bool, limit: int, as_json: bool
) -> None:
    """List entitlement changes in order, each with the cursor to go on from.

    Without --after it lists the newest changes. It reads the view that applications read, and
    follows it as they do (docs/integration.md). With --follow --json each change is one line;
    with --follow --after, --limit does not apply.
    """
    settings = find_settings(os.environ, "DATABASE_URL")
    user = None if user is None else storable(user)
    with connections.open_database(settings, application="changes") as engine:
        with connections.read_snapshot(engine) as connection:
            if user is not None:
                user = user_meant(connection, party_queries.configured_realms(settings), user)
            page = _page(connection, after, user, limit)
        if follow:
            shown, cursor = (page.changes, page.cursor) if after is None else ((), after)
            check = partial(Interruption().pause, 0)
            coming = follow_changes(engine, settings.database_url, cursor, user=user, check=check)
            with suppress(Interrupted):
                for change in chain(shown, coming):
                    _print_line(change, as_json=as_json)
        else:
            _print_page(page, as_json=as_json)


def _page(connection: Connection, after: int | None, user: str | None, limit: int) -> ChangesPage:
    newest, unknown = newest_cursor(connection), party_queries.unknown_user(connection, user)
    if after is None:
        found = newest_changes(connection, limit=limit, user=user)
        return ChangesPage(changes=found, cursor=newest, more=False, unknown=unknown)
    if after > newest:
        raise CommandFailed(
            f"the newest change is {newest}: cursor {after} is from another database, or this one"
            " was restored to an earlier state; read every user's entitlements again, then"
            f" continue after {newest}"
        )
    found = changes_after(connection, after, limit=limit + 1, user=user)
    shown, more = found[:limit], len(found) > limit
    cursor = shown[-1].cursor if more else newest
    return ChangesPage(changes=shown, cursor=cursor, more=more, unknown=unknown)


def _print_page(page: ChangesPage, *, as_json: bool) -> None:
    print_list(
        "changes",
        page.changes,
        _COLUMNS,
        as_json=as_json,
        empty=page.unknown or "no change after this cursor",
        notes=[f"there are more: --after {page.cursor} shows them"] if page.more else [],
        cursor=page.cursor,
        more=page.more,
        known=page.unknown is None,
    )


def _print_line(change: EntitlementChange, *, as_json: bool) -> None:
    if as_json:
        # click.echo flushes each line, even into a pipe.
        click.echo(json.dumps(to_json(change), ensure_ascii=False))
    else:
        print_line(_COLUMNS, change)


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
