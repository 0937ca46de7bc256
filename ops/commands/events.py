"""``paidup events``."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click
from sqlalchemy import Connection

from billing.readers.registry import HANDLED_TYPES
from billing.text import storable
from models.events import OUTCOMES
from ops import connections as doors
from ops.errors import NotDone
from ops.events.lookup import look_up
from ops.events.render import as_document, print_event
from ops.export import events as exported
from ops.export.events import opened, pour
from ops.queries import parties as belonging
from ops.queries.events import Filter, SettledEvent, settled_events
from ops.replay.targets import type_option
from ops.terminal import output as listing
from ops.terminal.formats import Moment, stamp
from ops.terminal.output import Json, emit_json, json_option
from ops.terminal.progress import progress
from ops.up.up_file import settings as find_settings
from runtime.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

_COLUMNS = ("settled", "type", "event", "outcome", "reason", "attempts", "object")


@click.group(epilog="Example: paidup events list --user usr_123 --since 2h")
def events() -> None:
    """What came in from Stripe and what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which settled events are meant, as the command line says it."""

    types: tuple[str, ...]
    outcome: str | None
    user: str | None
    customer: str | None
    since: datetime | None
    until: datetime | None


def narrowing(command: F) -> F:
    """The options that say which events are meant."""
    options = (
        type_option,
        click.option("--outcome", type=click.Choice(OUTCOMES), help="What became of it."),
        click.option("--user", help="It states something about what belongs to this user."),
        click.option("--customer", help="It states something about this Stripe customer."),
        click.option("--since", type=Moment(), help="Settled at or after: 2026-11-22T12:00, 2h."),
        click.option("--until", type=Moment(), help="Settled before."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@events.command(
    "list",
    epilog="Example: paidup events list --type invoice.paid --outcome superseded --since 3d",
)
@narrowing
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
def list_events(*, limit: int, as_json: bool, **given: Any) -> None:
    """List settled events, newest first, and say how many are still in the inbox."""
    wanted, types = _wanted(given), given["types"]
    settings = find_settings(os.environ, "DATABASE_URL")
    with doors.database(settings, asker="events") as engine, doors.snapshot(engine) as connection:
        found = settled_events(connection, _filter(connection, settings, wanted), limit=limit + 1)
    waiting = _in_inbox(settings)
    shown, more = found[:limit], len(found) > limit
    if as_json:
        emit_json(_listed(shown, waiting, more=more))
    else:
        _print(shown, waiting, types, more=more)


@events.command(epilog="Example: paidup events export --since 2026-11-01 --to november.jsonl")
@narrowing
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file, readable by its owner. Default: standard output.",
)
def export(*, to: Path | None, **given: Any) -> None:
    """Write settled events out, one JSON object a line: what Stripe sent and what became of it.

    The bytes that Stripe signed stand in `payload` as they came, with their SHA-256 beside them,
    and what was fetched for them in `fetched`. All of it is from one moment, however long it
    takes. `paidup replay --from FILE` settles them in another database.
    """
    wanted = _wanted(given)
    settings = find_settings(os.environ, "DATABASE_URL")
    with doors.database(settings, asker="export") as engine, doors.snapshot(engine) as connection:
        meant = _filter(connection, settings, wanted)
        total = exported.count(connection, meant)
        with opened(to) as file, progress("exporting", total) as moved:
            number = pour(exported.lines(connection, meant), file, moved)
    click.echo(f"{number} {'event' if number == 1 else 'events'} exported", err=True)


@events.command(epilog="Example: paidup events show evt_1Abc --payload")
@click.argument("event_id", metavar="EVENT")
@click.option("--payload", is_flag=True, help="Show what Stripe sent, too.")
@json_option
def show(event_id: str, *, payload: bool, as_json: bool) -> None:
    """Show one event: where it is, what it stated and what it changed."""
    shown = look_up(find_settings(os.environ, "DATABASE_URL"), storable(event_id))
    if as_json:
        emit_json(as_document(shown, payload=payload))
    else:
        print_event(shown, payload=payload)


def _wanted(given: dict[str, Any]) -> Wanted:
    wanted = Wanted(**given)
    since, until = wanted.since, wanted.until
    if since and until and since >= until:
        raise click.UsageError(f"--since {stamp(since)} is not before --until {stamp(until)}")
    return wanted


def _filter(connection: Connection, settings: Settings, wanted: Wanted) -> Filter:
    return Filter(
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
        groups.append(belonging.parties_of_user(connection, storable(user)))
        if not groups[-1]:
            raise NotDone(f"no event ever named a user {user!r}; --customer takes Stripe's id")
    if customer is not None:
        within = belonging.realms(settings)
        groups.append(belonging.parties_of_customer(connection, storable(customer), within))
        if not groups[-1]:
            raise NotDone(f"no event ever named a customer {customer!r}; it looks like cus_1Abc")
    return tuple(groups)


def _in_inbox(settings: Settings) -> int | None:
    with suppress(NotDone), doors.asking_inbox(settings) as inbox:
        return inbox.backlog().events
    return None


def _listed(shown: Sequence[SettledEvent], waiting: int | None, *, more: bool) -> Json:
    listed = [listing.plain(asdict(event)) for event in shown]
    return {"events": listed, "more": more, "in_inbox": waiting}


def _print(
    shown: Sequence[SettledEvent], waiting: int | None, types: Sequence[str], *, more: bool
) -> None:
    rows = [
        (stamp(e.applied_at), e.type, e.id, e.outcome, e.reason, e.attempts, e.object_id)
        for e in shown
    ]
    if rows:
        listing.show(listing.table(_COLUMNS, rows))
    else:
        listing.say("no settled event matches")
        _hint(types)
    if more:
        listing.say("there are more: --limit shows them", style="dim")
    count = "unknown: Redis does not answer" if waiting is None else str(waiting)
    listing.say(f"still in the inbox: {count}", style="dim")


def _hint(types: Sequence[str]) -> None:
    for name in types:
        if name not in HANDLED_TYPES:
            near = get_close_matches(name, HANDLED_TYPES, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            listing.say(f"{name} is no type that Paidup reads{meant}")
