"""``paidup changes``."""

import os
from contextlib import suppress
from functools import partial
from itertools import chain

import click
from sqlalchemy import Connection

from billing.text import storable
from ops import connections
from ops.changes.follow import follow as follow_changes
from ops.changes.render import Page, print_line, print_page
from ops.errors import CommandFailed
from ops.queries import parties as party_queries
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.output import json_option
from ops.up.up_file import settings as find_settings
from runtime.changes.feed import changes_after, newest_changes, newest_cursor


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
            if user is not None and not follow:
                party_queries.require_user(connection, user)
            page = _page(connection, after, user, limit)
        if follow:
            shown, cursor = (page.changes, page.cursor) if after is None else ((), after)
            check = partial(Interruption().pause, 0)
            coming = follow_changes(engine, settings.database_url, cursor, user=user, check=check)
            with suppress(Interrupted):
                for change in chain(shown, coming):
                    print_line(change, as_json=as_json)
        else:
            print_page(page, as_json=as_json)


def _page(connection: Connection, after: int | None, user: str | None, limit: int) -> Page:
    newest = newest_cursor(connection)
    if after is None:
        found = newest_changes(connection, limit=limit, user=user)
        return Page(changes=found, cursor=newest, more=False)
    if after > newest:
        raise CommandFailed(
            f"the newest change is {newest}: cursor {after} is from another database, or this one"
            " was restored to an earlier state; read every user's entitlements again, then"
            f" continue after {newest}"
        )
    found = changes_after(connection, after, limit=limit + 1, user=user)
    shown, more = found[:limit], len(found) > limit
    return Page(changes=shown, cursor=shown[-1].cursor if more else newest, more=more)
