"""Which events a command is about: named one by one, by a filter, or all of them.

Who names events names every one of them: one that is not there stops the command before it has
done anything.
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
from ops.errors import NotDone
from ops.queries import parties as belonging
from ops.queries.dead_letters import OPEN, LetterFilter, letter_keys
from ops.queries.events import Filter, settled_ids
from ops.terminal.formats import Moment, stamp
from runtime.settings import Settings

DEAD: Final = "dead"
MANY: Final = 20
"""More events than a person has looked at one by one."""

_TYPE: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+(\[[a-z0-9_.]+\])?)+")
_TOLD: Final = 5

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An event that is to be dealt with, and whether it is a dead letter."""

    key: str
    buried: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was asked for on the command line."""

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
        """Whether anything narrows it down."""
        narrowing = (self.types, self.error, self.since, self.until, self.user, self.customer)
        return any(narrowing) or self.outcome is not None or self.unfetched

    def letters(self, *states: str) -> LetterFilter:
        """The same for dead letters in one of these states."""
        return LetterFilter(
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
    """Names that look like Stripe's."""
    for each in given:
        if not _TYPE.fullmatch(each):
            raise click.BadParameter(f"{each!r} is no event type, such as invoice.paid")
    return given


type_option = click.option(
    "--type", "types", multiple=True, callback=event_types, help="An event type; repeatable."
)


def filters(command: F) -> F:
    """The options that narrow a selection."""
    options = (
        type_option,
        click.option("--error", callback=_text, help="In the error's name or in what it says."),
        click.option("--user", callback=_text, help="About what belongs to this user."),
        click.option("--customer", callback=_text, help="About this Stripe customer."),
        click.option("--since", type=Moment(), help="At or after: 2026-11-22T12:00, 2h, 3d."),
        click.option("--until", type=Moment(), help="Before."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def targets(command: F) -> F:
    """Event ids or a filter or ``--all``."""
    everything = click.option("--all", "everything", is_flag=True, help="All there are.")
    ids = click.argument("ids", nargs=-1, metavar="[EVENT]...", callback=_ids)
    return ids(filters(everything(command)))


def selection_of(**given: Any) -> Selection:
    """The selection, if it says something.

    Raises:
        UsageError: it names nothing, or two things, or no time at all.
    """
    selection = Selection(**given)
    ways = [bool(selection.ids), selection.filtered, selection.everything]
    if sum(ways) != 1:
        raise click.UsageError("name events, or give a filter, or --all: one of the three")
    check_times(selection)
    return selection


def check_times(selection: Selection) -> None:
    """Refuse a span that ends before it begins."""
    since, until = selection.since, selection.until
    if since and until and since >= until:
        raise click.UsageError(f"--since {stamp(since)} is not before --until {stamp(until)}")


def choose_letters(connection: Connection, selection: Selection, *states: str) -> list[Target]:
    """The dead letters that are meant; those that failed first come first.

    Raises:
        NotDone: there are none, or one that was named is not there or in another state.
    """
    if selection.ids:
        return _named_letters(connection, selection.ids, states)
    keys = letter_keys(connection, selection.letters(OPEN))
    if not keys:
        raise NotDone("no open dead letter matches: nothing was done")
    return [Target(key=key, buried=True) for key in reversed(keys)]


def choose_events(connection: Connection, settings: Settings, selection: Selection) -> list[Target]:
    """Settled events and dead letters that are meant, dead letters first.

    Raises:
        NotDone: there are none, or one that was named is neither.
    """
    if selection.ids:
        return _named_events(connection, selection.ids)
    found = list(_filtered(connection, settings, selection))
    if not found:
        raise NotDone("no settled event and no dead letter matches: nothing was done")
    return found


def _filtered(connection: Connection, settings: Settings, selection: Selection) -> Iterable[Target]:
    only_dead = selection.outcome == DEAD or selection.error is not None
    buried = set()
    if only_dead or (selection.outcome is None and not selection.unfetched):
        keys = letter_keys(connection, selection.letters(OPEN))
        buried = set(keys)
        yield from (Target(key=key, buried=True) for key in reversed(keys))
    if not only_dead:
        ids = settled_ids(connection, _settled_filter(connection, settings, selection))
        yield from (Target(key=key, buried=False) for key in ids if key not in buried)


def _settled_filter(connection: Connection, settings: Settings, selection: Selection) -> Filter:
    groups = []
    if selection.user is not None:
        groups.append(belonging.parties_of_user(connection, selection.user))
    if selection.customer is not None:
        realms = belonging.realms(settings)
        groups.append(belonging.parties_of_customer(connection, selection.customer, realms))
    return Filter(
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
            raise NotDone(_already(key, state, by))
    return [Target(key=key, buried=True) for key in ids]


def _already(key: str, state: str, by: str | None) -> str:
    if state == "replayed":
        again = f"`paidup replay {key}` reads it once more"
        return f"{key} was applied after all (by {by}): nothing was done; {again}"
    return f"{key} was discarded already (by {by}): nothing was done"


def _named_events(connection: Connection, ids: Sequence[str]) -> list[Target]:
    letters = select(DeadLetter.event_id).where(
        DeadLetter.event_id.in_(ids), DeadLetter.state != "replayed"
    )
    buried = set(connection.scalars(letters))
    settled = set(connection.scalars(select(StripeEvent.id).where(StripeEvent.id.in_(ids))))
    unknown = [key for key in ids if key not in buried | settled]
    _refuse_unknown("neither a settled event nor a dead letter", unknown)
    return [Target(key=key, buried=key in buried) for key in ids]


def _refuse_unknown(what: str, unknown: Sequence[str]) -> None:
    if unknown:
        told = ", ".join(unknown[:_TOLD]) + (", ..." if len(unknown) > _TOLD else "")
        hint = f"`paidup events show {unknown[0]}` says whether and where it is"
        raise NotDone(f"{what}: {told}; nothing was done; {hint}")


def _text(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    return None if given is None else storable(given)


def _ids(
    _context: click.Context, _argument: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(storable, given)))
