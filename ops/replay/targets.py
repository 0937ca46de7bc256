"""Select the events of a command: by id, by a filter, or all of them.

An id that does not exist stops the command before it changes anything.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import click
from sqlalchemy import Connection, select

from billing.text import storable
from models.tables import DeadLetter, StripeEvent
from ops.errors import CommandFailed
from ops.queries import parties as party_queries
from ops.queries.dead_letters import OPEN, DeadLetterFilter, find_dead_letter_keys
from ops.queries.events import EventFilter, settled_ids
from ops.terminal.formats import TimeParam, check_time_range
from runtime.settings import Settings

DEAD: Final = "dead"
MANY: Final = 20
"""Above this number a command asks before it acts."""

_TYPE: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+(\[[a-z0-9_.]+\])?)+")
_MAX_NAMES: Final = 5

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An event that a command acts on; ``key`` is its key in the inbox."""

    key: str
    is_dead_letter: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The selection that the command line asks for."""

    ids: tuple[str, ...]
    types: tuple[str, ...]
    error: str | None
    since: datetime | None
    until: datetime | None
    user: str | None
    customer: str | None
    everything: bool = False
    outcome: str | None = None
    unfetched: bool = False

    @property
    def filtered(self) -> bool:
        """True if any filter is set."""
        narrowing = (self.types, self.error, self.since, self.until, self.user, self.customer)
        return any(narrowing) or self.outcome is not None or self.unfetched

    def letters(self, *states: str) -> DeadLetterFilter:
        """Return the filter for dead letters in one of these states."""
        return DeadLetterFilter(
            types=self.types,
            error=self.error,
            states=states,
            since=self.since,
            until=self.until,
            user=self.user,
            customer=self.customer,
        )


def event_types(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the event types.

    Raises:
        BadParameter: one of them does not look like an event type.
    """
    for each in given:
        if not _TYPE.fullmatch(each):
            raise click.BadParameter(f"{each!r} is not an event type such as invoice.paid")
    return given


type_option = click.option(
    "--type",
    "types",
    multiple=True,
    callback=event_types,
    help="Only events of this type; repeatable.",
)


def filter_options(command: F) -> F:
    """Add the filter options."""
    options = (
        type_option,
        click.option(
            "--error", callback=_text, help="Only dead letters with this text in the error."
        ),
        click.option("--user", callback=_text, help="Only events about this user."),
        click.option("--customer", callback=_text, help="Only events about this Stripe customer."),
        click.option(
            "--since", type=TimeParam(), help="Only from this time on: 2h, 3d, 2026-11-22."
        ),
        click.option("--until", type=TimeParam(), help="Only before this time."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def target_options(command: F) -> F:
    """Add event ids, the filter options and ``--all``."""
    everything = click.option("--all", "everything", is_flag=True, help="All events.")
    ids = click.argument("ids", nargs=-1, metavar="[EVENT]...", callback=_ids)
    return ids(filter_options(everything(command)))


def selection_of(**given: Any) -> Selection:
    """Return the selection.

    Raises:
        UsageError: it has none or two of ids, filter and --all, or an empty time range.
    """
    selection = Selection(**given)
    ways = [bool(selection.ids), selection.filtered, selection.everything]
    if sum(ways) != 1:
        raise click.UsageError("name events, or give a filter, or --all: one of the three")
    check_time_range(selection.since, selection.until)
    return selection


def choose_letters(connection: Connection, selection: Selection, *states: str) -> list[Target]:
    """Return the selected dead letters, oldest failure first.

    Raises:
        CommandFailed: none matches, or an id does not exist or is in another state.
    """
    if selection.ids:
        return _named_letters(connection, selection.ids, states)
    keys = find_dead_letter_keys(connection, selection.letters(OPEN))
    if not keys:
        raise CommandFailed("no open dead letter matches: nothing was changed")
    return [Target(key=key, is_dead_letter=True) for key in reversed(keys)]


def choose_events(connection: Connection, settings: Settings, selection: Selection) -> list[Target]:
    """Return the selected settled events and dead letters, dead letters first.

    Raises:
        CommandFailed: none matches, or an id is neither.
    """
    if selection.ids:
        return _named_events(connection, selection.ids)
    found = list(_filtered(connection, settings, selection))
    if not found:
        raise CommandFailed("no settled event and no dead letter matches: nothing was changed")
    return found


def _filtered(connection: Connection, settings: Settings, selection: Selection) -> Iterable[Target]:
    only_dead = selection.outcome == DEAD or selection.error is not None
    dead = set()
    if only_dead or (selection.outcome is None and not selection.unfetched):
        keys = find_dead_letter_keys(connection, selection.letters(OPEN))
        dead = set(keys)
        yield from (Target(key=key, is_dead_letter=True) for key in reversed(keys))
    if not only_dead:
        ids = settled_ids(connection, _settled_filter(connection, settings, selection))
        yield from (Target(key=key, is_dead_letter=False) for key in ids if key not in dead)


def _settled_filter(
    connection: Connection, settings: Settings, selection: Selection
) -> EventFilter:
    groups = []
    if selection.user is not None:
        groups.append(party_queries.parties_of_user(connection, selection.user))
    if selection.customer is not None:
        realms = party_queries.configured_realms(settings)
        groups.append(party_queries.parties_of_customer(connection, selection.customer, realms))
    return EventFilter(
        types=selection.types,
        outcome=selection.outcome,
        unfetched=selection.unfetched,
        since=selection.since,
        until=selection.until,
        parties=tuple(groups),
    )


def _named_letters(
    connection: Connection, ids: Sequence[str], states: Sequence[str]
) -> list[Target]:
    query = select(DeadLetter.event_id, DeadLetter.state, DeadLetter.resolved_by)
    known = {
        key: (state, by)
        for key, state, by in connection.execute(query.where(DeadLetter.event_id.in_(ids)))
    }
    _refuse_unknown("no dead letter", [key for key in ids if key not in known])
    for key in ids:
        state, by = known[key]
        if state not in states:
            raise CommandFailed(_already(key, state, by))
    return [Target(key=key, is_dead_letter=True) for key in ids]


def _already(key: str, state: str, by: str | None) -> str:
    if state == "replayed":
        again = f"`paidup replay {key}` replays it"
        return f"{key} was applied in the meantime (by {by}): nothing was changed; {again}"
    return f"{key} was already discarded (by {by}): nothing was changed"


def _named_events(connection: Connection, ids: Sequence[str]) -> list[Target]:
    letters = select(DeadLetter.event_id).where(
        DeadLetter.event_id.in_(ids), DeadLetter.state != "replayed"
    )
    dead = set(connection.scalars(letters))
    settled = set(connection.scalars(select(StripeEvent.id).where(StripeEvent.id.in_(ids))))
    unknown = [key for key in ids if key not in dead | settled]
    _refuse_unknown("neither a settled event nor a dead letter", unknown)
    return [Target(key=key, is_dead_letter=key in dead) for key in ids]


def _refuse_unknown(what: str, unknown: Sequence[str]) -> None:
    if unknown:
        names = ", ".join(unknown[:_MAX_NAMES]) + (", ..." if len(unknown) > _MAX_NAMES else "")
        hint = f"`paidup events show {unknown[0]}` shows where it is"
        raise CommandFailed(f"{what}: {names}; nothing was changed; {hint}")


def _text(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    return None if given is None else storable(given)


def _ids(
    _context: click.Context, _argument: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(storable, given)))
