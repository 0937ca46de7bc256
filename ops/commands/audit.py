"""``paidup audit``."""

import os
from dataclasses import replace
from datetime import datetime
from typing import Any

import click

from billing.text import storable
from ops import connections
from ops.queries.audit import AuditEntry, AuditFilter, audit_entries
from ops.queries.lookups import describe_missing, look_up_one
from ops.queries.parties import configured_realms
from ops.terminal.formats import TimeParam, check_time_range, format_time
from ops.terminal.output import Columns, json_option, print_list
from ops.up.up_file import settings as find_settings


@click.group(epilog="Example: paidup audit list --user usr_123 --action entitlement --since 30d")
def audit() -> None:
    """Show the audit log: who changed what, and why. It is append-only."""


@audit.command(
    "list",
    epilog="Example: paidup audit list --actor ada --action dead_letter --since 30d",
)
@click.option(
    "--user",
    help="Only entries about this user: your id, an id of Stripe or an e-mail address. Of one who"
    " has no user yet, entries that its events caused.",
)
@click.option(
    "--event",
    help="Only entries caused by this Stripe event, or by a statement of a person (op_...).",
)
@click.option(
    "--actor",
    help="Only entries by this actor: a name (cli:NAME, token:NAME, console:NAME), stripe or"
    " clock.",
)
@click.option(
    "--action",
    "actions",
    multiple=True,
    help="Only this action, such as entitlement.revoked, or all of entitlement; repeatable.",
)
@click.option("--since", type=TimeParam(), help="Only from this time on: 2h, 3d, 2026-11-22.")
@click.option("--until", type=TimeParam(), help="Only before this time.")
@click.option(
    "--before", type=click.IntRange(1), help="Only entries with lower ids: the next page."
)
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
def list_entries(
    *, since: datetime | None, until: datetime | None, limit: int, as_json: bool, **given: Any
) -> None:
    """List audit entries, newest first. --json adds the values before and after."""
    check_time_range(since, until)
    stored = {name: storable(each) for name, each in given.items() if isinstance(each, str)}
    wanted = AuditFilter(since=since, until=until, **(given | stored))
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="audit") as connection:
        lookup = None
        if wanted.user:
            lookup = look_up_one(connection, configured_realms(settings), wanted.user)
            user = lookup.user if lookup.users or not lookup.parties else None
            wanted = replace(wanted, user=user, parties=frozenset() if user else lookup.parties)
        found = audit_entries(connection, wanted, limit=limit + 1)
    missing = describe_missing(lookup) if lookup else None
    shown = found[:limit]
    on = shown[-1].id if len(found) > limit else None
    print_list(
        "entries",
        shown,
        _COLUMNS,
        as_json=as_json,
        empty=missing or "no entry matches",
        notes=[f"there are more: --before {on} shows them"] if on is not None else [],
        before=on,
        known=lookup is None or lookup.known,
    )


def _action(entry: AuditEntry) -> str:
    return entry.action if entry.outcome == "done" else f"{entry.action} ({entry.outcome})"


_COLUMNS: Columns[AuditEntry] = {
    "id": lambda entry: entry.id,
    "at": lambda entry: format_time(entry.occurred_at),
    "actor": lambda entry: entry.actor,
    "action": _action,
    "target": lambda entry: f"{entry.target_type} {entry.target_id}",
    "user": lambda entry: entry.user_id,
    "event": lambda entry: entry.event_id,
    "reason": lambda entry: entry.reason,
}
