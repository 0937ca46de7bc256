"""``paidup events``."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click
from sqlalchemy import Connection

from billing.readers.registry import HANDLED_TYPES
from billing.text import storable
from models.events import OUTCOMES
from ops import connections
from ops.errors import CommandFailed
from ops.events.lookup import look_up
from ops.events.render import as_document, print_event
from ops.export.events import count_events, export_lines, open_output, write_lines
from ops.queries import parties as party_queries
from ops.queries.events import EventFilter, SettledEvent, settled_events
from ops.replay.targets import type_option
from ops.terminal.formats import TimeParam, check_time_range, format_time
from ops.terminal.output import Columns, json_option, print_json, print_list
from ops.terminal.progress import progress
from ops.up.up_file import settings as find_settings
from runtime.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


@click.group(epilog="Example: paidup events list --user usr_123 --since 2h")
def events() -> None:
    """List, show and export events from Stripe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventOptions:
    """The filter options of the command line."""

    types: tuple[str, ...]
    outcome: str | None
    user: str | None
    customer: str | None
    since: datetime | None
    until: datetime | None


def event_options(command: F) -> F:
    """Add the filter options."""
    options = (
        type_option,
        click.option(
            "--outcome", type=click.Choice(OUTCOMES), help="Only events with this outcome."
        ),
        click.option("--user", help="Only events about this user."),
        click.option("--customer", help="Only events about this Stripe customer."),
        click.option(
            "--since", type=TimeParam(), help="Settled from this time on: 2h, 3d, 2026-11-22."
        ),
        click.option("--until", type=TimeParam(), help="Settled before this time."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@events.command(
    "list",
    epilog="Example: paidup events list --type invoice.paid --outcome superseded --since 3d",
)
@event_options
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
def list_events(*, limit: int, as_json: bool, **given: Any) -> None:
    """List settled events, newest first, and count those still in the inbox."""
    wanted, types = _wanted(given), given["types"]
    settings = find_settings(os.environ, "DATABASE_URL")
    with (
        connections.open_database(settings, application="events") as engine,
        connections.read_snapshot(engine) as connection,
    ):
        found = settled_events(connection, _filter(connection, settings, wanted), limit=limit + 1)
    waiting = _in_inbox(settings)
    shown, more = found[:limit], len(found) > limit
    notes = ["there are more: --limit shows them"] if more else []
    if not shown:
        notes = [hint for name in types for hint in _hints(name)]
    count = "unknown, Redis is unreachable" if waiting is None else str(waiting)
    print_list(
        "events",
        shown,
        _COLUMNS,
        as_json=as_json,
        empty="no settled event matches",
        notes=[*notes, f"still in the inbox: {count}"],
        more=more,
        in_inbox=waiting,
    )


@events.command(epilog="Example: paidup events export --since 2026-11-01 --to november.jsonl")
@event_options
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file, readable by its owner. Default: standard output.",
)
def export(*, to: Path | None, **given: Any) -> None:
    """Write settled events as one JSON object a line: what Stripe sent, and the outcome.

    `payload` holds the bytes that Stripe signed, with their SHA-256 beside them; `fetched` holds
    the objects fetched for them. All events are of one snapshot of the database. `paidup replay
    --from FILE` imports them into another database.
    """
    wanted = _wanted(given)
    settings = find_settings(os.environ, "DATABASE_URL")
    with (
        connections.open_database(settings, application="export") as engine,
        connections.read_snapshot(engine) as connection,
    ):
        meant = _filter(connection, settings, wanted)
        total = count_events(connection, meant)
        with open_output(to) as file, progress("exporting", total) as report:
            number = write_lines(export_lines(connection, meant), file, report)
    click.echo(f"{number} {'event' if number == 1 else 'events'} exported", err=True)


@events.command(epilog="Example: paidup events show evt_1Abc --payload")
@click.argument("event_id", metavar="EVENT")
@click.option("--payload", is_flag=True, help="Also show the payload from Stripe.")
@json_option
def show(event_id: str, *, payload: bool, as_json: bool) -> None:
    """Show one event: where it is, its facts, and what it changed."""
    shown = look_up(find_settings(os.environ, "DATABASE_URL"), storable(event_id))
    if as_json:
        print_json(as_document(shown, payload=payload))
    else:
        print_event(shown, payload=payload)


def _wanted(given: dict[str, Any]) -> EventOptions:
    wanted = EventOptions(**given)
    check_time_range(wanted.since, wanted.until)
    return wanted


def _filter(connection: Connection, settings: Settings, wanted: EventOptions) -> EventFilter:
    return EventFilter(
        types=wanted.types,
        outcome=wanted.outcome,
        since=wanted.since,
        until=wanted.until,
        parties=_parties(connection, settings, wanted.user, wanted.customer),
    )


def _parties(
    connection: Connection, settings: Settings, user: str | None, customer: str | None
) -> tuple[frozenset[str], ...]:
    groups = []
    if user is not None:
        groups.append(party_queries.parties_of_user(connection, storable(user)))
        if not groups[-1]:
            raise CommandFailed(f"no event names a user {user!r}; --customer takes Stripe's id")
    if customer is not None:
        within = party_queries.configured_realms(settings)
        groups.append(party_queries.parties_of_customer(connection, storable(customer), within))
        if not groups[-1]:
            raise CommandFailed(f"no event names a customer {customer!r}; ids look like cus_1Abc")
    return tuple(groups)


def _in_inbox(settings: Settings) -> int | None:
    with suppress(CommandFailed), connections.open_inbox(settings) as inbox:
        return inbox.backlog().events
    return None


def _hints(name: str) -> Iterator[str]:
    if name not in HANDLED_TYPES:
        near = get_close_matches(name, HANDLED_TYPES, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        yield f"Paidup does not read events of type {name}{meant}"


_COLUMNS: Columns[SettledEvent] = {
    "settled": lambda event: format_time(event.applied_at),
    "type": lambda event: event.type,
    "event": lambda event: event.id,
    "outcome": lambda event: event.outcome,
    "reason": lambda event: event.reason,
    "attempts": lambda event: event.attempts,
    "object": lambda event: event.object_id,
}
