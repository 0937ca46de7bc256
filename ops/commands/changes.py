"""``paidup changes``."""

import os
from contextlib import suppress

import click
from sqlalchemy import Connection, Engine

from billing.text import storable
from ops import connections as doors
from ops.changes.follow import follow as follow_changes
from ops.changes.render import Page, as_document, print_line, print_page
from ops.errors import NotDone
from ops.queries import parties as belonging
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.output import emit_json, json_option
from ops.up.up_file import settings as find_settings
from runtime.changes.feed import changes_after, newest_changes, newest_cursor
from runtime.settings import Settings


@click.command(epilog="Example: paidup changes --after 1200 --follow --json")
@click.option("--after", type=click.IntRange(0), help="The last cursor you have; 0 is the start.")
@click.option("--user", help="Only of this user.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
def changes(
    *, after: int | None, user: str | None, follow: bool, limit: int, as_json: bool
) -> None:
    """List entitlement changes in order, each with the cursor to go on from.

    Without --after the newest are shown. It reads the view that every application may read, and
    follows it as an application would (docs/integration.md). With --follow --json each change is
    one line; with --follow --after no --limit applies.
    """
    settings = find_settings(os.environ, "DATABASE_URL")
    user = None if user is None else storable(user)
    with doors.database(settings, asker="changes") as engine:
        with doors.snapshot(engine) as connection:
            if user is not None and not follow:
                _refuse_unknown(connection, user)
            page = _page(connection, after, user, limit)
        if follow:
            _follow(engine, settings, page if after is None else None, after, user, as_json=as_json)
        elif as_json:
            emit_json(as_document(page))
        else:
            print_page(page)


def _refuse_unknown(connection: Connection, user: str) -> None:
    if not belonging.parties_of_user(connection, user):
        raise NotDone(f"no event ever named a user {user!r}")


def _page(connection: Connection, after: int | None, user: str | None, limit: int) -> Page:
    newest = newest_cursor(connection)
    if after is None:
        found = newest_changes(connection, limit=limit, user=user)
        return Page(changes=found, cursor=newest, more=False)
    if after > newest:
        raise NotDone(
            f"the newest change is {newest}: a cursor of {after} is of another database, or this"
            " one was restored to an earlier state; read every user's entitlements anew, and go"
            f" on after {newest}"
        )
    found = changes_after(connection, after, limit=limit + 1, user=user)
    shown, more = found[:limit], len(found) > limit
    return Page(changes=shown, cursor=shown[-1].cursor if more else newest, more=more)


def _follow(
    engine: Engine,
    settings: Settings,
    page: Page | None,
    after: int | None,
    user: str | None,
    *,
    as_json: bool,
) -> None:
    interruption = Interruption()
    for change in page.changes if page else ():
        print_line(change, as_json=as_json)
    cursor = page.cursor if page else after or 0
    coming = follow_changes(
        engine, settings.database_url, cursor, user=user, check=lambda: interruption.pause(0)
    )
    with suppress(Interrupted):
        for change in coming:
            print_line(change, as_json=as_json)
