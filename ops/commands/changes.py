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

from billing.ids import Realm
from billing.text import storable
from ops import connections
from ops.changes.follow import EpochReplaced, FindUser
from ops.changes.follow import follow as follow_changes
from ops.errors import CommandFailed
from ops.explain.waiting import list_waiting
from ops.queries.lookups import Lookup, describe_missing, look_up_one
from ops.queries.parties import configured_realms
from ops.queries.user_state import load_user_state
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_time
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.output import Columns, json_option, print_line, print_list, to_json
from ops.up.up_file import settings as find_settings
from runtime.changes.feed import (
    EntitlementChange,
    Newest,
    changes_after,
    newest_changes,
    read_newest,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesPage:
    """Some changes in order, the cursor to continue from, and the epoch under which it counts.

    ``lookup`` is whom the filter means, None without one. ``waiting`` are sentences about a
    customer that has no user yet: nothing was granted, so there is no change.
    """

    changes: Sequence[EntitlementChange]
    cursor: int
    more: bool
    epoch: str
    lookup: Lookup | None
    waiting: Sequence[str] = ()


@click.command(epilog="Example: paidup changes --after 1200 --follow --json")
@click.option("--after", type=click.IntRange(0), help="Changes after this cursor; 0 is the start.")
@click.option(
    "--user",
    help="Only changes of this user: your id, an id of Stripe or an e-mail address.",
)
@click.option("--follow", is_flag=True, help="Print new changes as they come, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
def changes(
    *, after: int | None, user: str | None, follow: bool, limit: int, as_json: bool
) -> None:
    """List entitlement changes in order, each with the cursor to go on from.

    Without --after it lists the newest changes. It reads the view that applications read, and
    follows it as they do (docs/integration.md). With --follow --json each change is one line;
    with --follow --after, --limit does not apply. --follow also waits for the user of a customer
    that has none yet. Cursors and versions count under the epoch that --json shows: it is another
    one once the database went back in time, and following ends then.
    """
    settings = find_settings(os.environ, "DATABASE_URL")
    realms = configured_realms(settings)
    with connections.open_database(settings, application="changes") as engine:
        with connections.read_snapshot(engine) as connection:
            lookup = None if user is None else look_up_one(connection, realms, storable(user))
            page = _page(connection, realms, after, lookup, limit)
        if follow:
            shown, cursor = (page.changes, page.cursor) if after is None else ((), after)
            _note_missing(page)
            coming = follow_changes(
                engine,
                settings.database_url,
                Newest(cursor=cursor, epoch=page.epoch),
                find_user=_finder(lookup, realms),
                check=partial(Interruption().pause, 0),
            )
            try:
                with suppress(Interrupted):
                    for change in chain(shown, coming):
                        _print_line(change, as_json=as_json)
            except EpochReplaced as replaced:
                why = "the database went back in time, or was restored, meanwhile"
                raise _start_over(why, replaced.newest.cursor) from None
        else:
            _print_page(page, as_json=as_json)


def _page(
    connection: Connection,
    realms: Sequence[Realm],
    after: int | None,
    lookup: Lookup | None,
    limit: int,
) -> ChangesPage:
    at, user = read_newest(connection), lookup.user if lookup else None
    newest, epoch = at.cursor, at.epoch
    if after is not None and after > newest:
        why = f"the newest change is {newest}: cursor {after} is from another database, or this one"
        raise _start_over(f"{why} was restored to an earlier state", newest)
    if lookup and lookup.parties and not lookup.users:
        waiting = tuple(list_waiting(load_user_state(connection, lookup, realms)))
        return ChangesPage(
            changes=(), cursor=newest, more=False, epoch=epoch, lookup=lookup, waiting=waiting
        )
    if after is None:
        found = newest_changes(connection, limit=limit, user=user)
        return ChangesPage(changes=found, cursor=newest, more=False, epoch=epoch, lookup=lookup)
    found = changes_after(connection, after, limit=limit + 1, user=user)
    shown, more = found[:limit], len(found) > limit
    cursor = shown[-1].cursor if more else newest
    return ChangesPage(changes=shown, cursor=cursor, more=more, epoch=epoch, lookup=lookup)


def _start_over(why: str, newest: int) -> CommandFailed:
    return CommandFailed(
        f"{why}; read every user's entitlements again, then continue after {newest}"
    )


def _finder(lookup: Lookup | None, realms: Sequence[Realm]) -> FindUser:
    """Return what finds the user to follow: once an event names one, it stays this one."""
    found = lookup

    def find(connection: Connection) -> str | None:
        nonlocal found
        if found is not None and not found.users:
            found = look_up_one(connection, realms, found.text)
        return found.user if found else None

    return find


def _note_missing(page: ChangesPage) -> None:
    if page.lookup and (missing := describe_missing(page.lookup)):
        click.echo(f"paidup: {with_command_name(missing)}", err=True)


def _print_page(page: ChangesPage, *, as_json: bool) -> None:
    lookup = page.lookup
    missing = describe_missing(lookup) if lookup else None
    print_list(
        "changes",
        page.changes,
        _COLUMNS,
        as_json=as_json,
        empty=missing or "no change after this cursor",
        notes=[
            *page.waiting,
            *([f"there are more: --after {page.cursor} shows them"] if page.more else []),
        ],
        cursor=page.cursor,
        more=page.more,
        epoch=page.epoch,
        known=lookup is None or lookup.known,
        waiting=list(page.waiting),
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
    "version": lambda change: change.version,
    "change": lambda change: change.change,
    "plan": lambda change: change.plan_code,
    "source": lambda change: change.source,
    "event": lambda change: change.event_id,
    "because": lambda change: change.reason,
}
