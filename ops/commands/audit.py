"""``paidup audit``."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from billing.text import storable
from ops import connections as doors
from ops.errors import NotDone
from ops.queries import parties as belonging
from ops.queries.audit import AuditEntry, AuditFilter, audit_entries
from ops.terminal import output as listing
from ops.terminal.formats import Moment, stamp
from ops.terminal.output import Json, emit_json, json_option
from ops.up.up_file import settings as find_settings

_COLUMNS = ("id", "at", "actor", "action", "target", "user", "event", "reason")


@click.group(epilog="Example: paidup audit list --user usr_123 --action entitlement --since 30d")
def audit() -> None:
    """Who did what to whom, and why; nobody can change it afterwards."""


@audit.command(
    "list",
    epilog="Example: paidup audit list --actor ada --action dead_letter --since 30d",
)
@click.option("--user", help="About this user.")
@click.option("--event", help="Caused by this event of Stripe.")
@click.option("--actor", help="Done by: an operator's name, stripe, clock.")
@click.option(
    "--action",
    "actions",
    multiple=True,
    help="entitlement.revoked, or all of a kind: entitlement; repeatable.",
)
@click.option("--since", type=Moment(), help="At or after: 2026-11-22T12:00, 2h, 3d.")
@click.option("--until", type=Moment(), help="Before.")
@click.option("--before", type=click.IntRange(1), help="Go on below this id, as a page says.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
def list_entries(
    *, since: datetime | None, until: datetime | None, limit: int, as_json: bool, **given: Any
) -> None:
    """List entries of the audit, newest first; --json has every entry whole, before and after."""
    if since and until and since >= until:
        raise click.UsageError(f"--since {stamp(since)} is not before --until {stamp(until)}")
    wanted = AuditFilter(since=since, until=until, **_storable(given))
    settings = find_settings(os.environ, "DATABASE_URL")
    with doors.database(settings, asker="audit") as engine, doors.snapshot(engine) as connection:
        found = audit_entries(connection, wanted, limit=limit + 1)
        if not found and wanted.user and not belonging.parties_of_user(connection, wanted.user):
            raise NotDone(f"no event ever named a user {wanted.user!r}")
    shown = found[:limit]
    on = shown[-1].id if len(found) > limit else None
    if as_json:
        emit_json({"entries": [_document(entry) for entry in shown], "before": on})
    else:
        _print(shown, on)


def _storable(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: storable(each) if isinstance(each, str) else each for name, each in given.items()}


def _document(entry: AuditEntry) -> Json:
    return listing.plain(asdict(entry))


def _print(shown: list[AuditEntry], on: int | None) -> None:
    if not shown:
        listing.say("no entry matches")
        return
    listing.show(listing.table(_COLUMNS, map(_row, shown)))
    if on is not None:
        listing.say(f"there are more: --before {on} shows them", style="dim")


def _row(entry: AuditEntry) -> tuple[object, ...]:
    target = f"{entry.target_type} {entry.target_id}"
    done = entry.action if entry.outcome == "done" else f"{entry.action} ({entry.outcome})"
    who = (entry.id, stamp(entry.occurred_at), entry.actor, done)
    return (*who, target, entry.user_id, entry.event_id, entry.reason)
