"""``paidup events``."""

import os
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Connection

from billing.facts import is_observation
from billing.readers.registry import HANDLED_TYPES
from billing.text import storable
from models.events import OUTCOMES
from ops import connections
from ops.bulk.targets import event_filter, filter_options
from ops.errors import CommandFailed
from ops.events.lookup import look_up, look_up_observation
from ops.events.observation_render import observation_document, print_observation
from ops.events.render import as_document, print_event
from ops.export.events import count_events, export_lines
from ops.export.observations import count_observations, observation_lines
from ops.export.output_file import open_output, write_lines
from ops.queries.dead_letters import OPEN, find_dead_letter_keys
from ops.queries.events import EventFilter, SettledEvent, settled_events
from ops.queries.lookups import Lookup, describe_first_missing, look_up_each
from ops.queries.parties import configured_realms
from ops.terminal.formats import format_count, format_time
from ops.terminal.output import Columns, json_option, print_json, print_list
from ops.terminal.progress import progress
from ops.up.up_file import settings as find_settings
from runtime.settings import Settings


@click.group(epilog="Example: paidup events list --user usr_123 --since 2h")
def events() -> None:
    """List, show and export events from Stripe."""


outcome_option = click.option(
    "--outcome", type=click.Choice(OUTCOMES), help="Only events with this outcome."
)


@events.command(
    "list",
    epilog="Example: paidup events list --type invoice.paid --outcome superseded --since 3d",
    short_help="List settled events, newest first.",
)
@filter_options
@outcome_option
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
def list_events(*, limit: int, as_json: bool, **given: Any) -> None:
    """List settled events, newest first, and count those still in the inbox.

    Times are those of settling.
    """
    wanted = event_filter(**given)
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="events") as connection:
        lookups = _look_up(connection, settings, wanted)
        parties = {name: lookup.parties for name, lookup in lookups.items()}
        found = settled_events(connection, wanted, parties, limit=limit + 1)
        notes = _dead_letters(connection, settings, wanted) if parties else []
    waiting = _in_inbox(settings)
    shown, more = found[:limit], len(found) > limit
    notes += ["there are more: --limit shows them"] if more else []
    if not shown:
        notes += [hint for name in wanted.types for hint in _hints(name)]
    count = "unknown, Redis is unreachable" if waiting is None else str(waiting)
    print_list(
        "events",
        shown,
        _COLUMNS,
        as_json=as_json,
        empty=describe_first_missing(lookups) or "no settled event matches",
        notes=[*notes, f"still in the inbox: {count}"],
        more=more,
        in_inbox=waiting,
        known=all(lookup.known for lookup in lookups.values()),
    )


@events.command(
    epilog="Example: paidup events export --since 2026-11-01 --to november.jsonl",
    short_help="Write settled events as lines of JSON.",
)
@filter_options
@outcome_option
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file, readable by its owner. Default: standard output.",
)
def export(*, to: Path | None, **given: Any) -> None:
    """Write settled events as one JSON object a line: what Stripe sent, and the outcome.

    `payload` holds the bytes that Stripe signed, with their SHA-256 beside them;
    `api_observations` holds what Stripe's API showed for them. What it showed for no event, such
    as a backfill, follows in lines of its own, unless only events can match. All lines are of one
    snapshot of the database. `paidup replay --from FILE` imports them into another database.
    """
    wanted = event_filter(**given)
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="export") as connection:
        lookups = _look_up(connection, settings, wanted)
        parties = {name: lookup.parties for name, lookup in lookups.items()}
        number = count_events(connection, wanted, parties)
        observed = count_observations(connection, wanted, parties)
        lines = chain(
            export_lines(connection, wanted, parties),
            observation_lines(connection, wanted, parties),
        )
        with open_output(to) as file, progress("exporting", number + observed) as report:
            write_lines(lines, file, report)
    missing = None if number + observed else describe_first_missing(lookups)
    beside = f" and {format_count(observed, 'API observation')}" if observed else ""
    why = f": {missing}" if missing else ""
    click.echo(f"{format_count(number, 'event')}{beside} exported{why}", err=True)


@events.command(
    epilog="Example: paidup events show evt_1Abc --payload",
    short_help="Show an event, its facts and its changes.",
)
@click.argument("event_id", metavar="EVENT")
@click.option("--payload", is_flag=True, help="Also show the payload from Stripe.")
@json_option
def show(event_id: str, *, payload: bool, as_json: bool) -> None:
    """Show one event: where it is, its facts, and what it changed.

    EVENT may also be an API observation, `obs_...`: an object as Stripe's API showed it.
    """
    settings, event_id = find_settings(os.environ, "DATABASE_URL"), storable(event_id)
    if is_observation(event_id):
        observation = look_up_observation(settings, event_id)
        if as_json:
            print_json(observation_document(observation, payload=payload))
        else:
            print_observation(observation, payload=payload)
        return
    shown = look_up(settings, event_id)
    if as_json:
        print_json(as_document(shown, payload=payload))
    else:
        print_event(shown, payload=payload)


def _dead_letters(connection: Connection, settings: Settings, wanted: EventFilter) -> list[str]:
    """Return a note if there are open dead letters about the user or customer."""
    about = EventFilter(user=wanted.user, customer=wanted.customer)
    realms = configured_realms(settings)
    keys = find_dead_letter_keys(connection, about, OPEN, realms=realms)
    return [f"open dead letters about them: {len(keys)}; `paidup dead list`"] if keys else []


def _look_up(connection: Connection, settings: Settings, wanted: EventFilter) -> dict[str, Lookup]:
    realms = configured_realms(settings)
    return look_up_each(connection, realms, user=wanted.user, customer=wanted.customer)


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
