"""Select the events of a command: by id, by a filter, or all of them.

An id that does not exist stops the command before it changes anything.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
from sqlalchemy import Connection, select

from billing.ids import Realm
from billing.text import storable
from models.tables import DeadLetter, StripeEvent
from ops.errors import CommandFailed
from ops.queries.dead_letters import OPEN, find_dead_letter_keys
from ops.queries.events import EventFilter, parties_named, settled_ids
from ops.terminal.formats import TimeParam, check_time_range
from ops.terminal.output import add_options
from runtime.database.one_of import one_of

DEAD: Final = "dead"
MANY: Final = 20
"""Above this number a command asks before it acts."""

_TYPE: Final = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+(\[[a-z0-9_.]+\])?)+")
_MAX_NAMES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An event that a command acts on; ``key`` is its key in the inbox."""

    key: str
    is_dead_letter: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The selection that the command line asks for: ids, or all events that match."""

    ids: tuple[str, ...]
    wanted: EventFilter


def _event_types(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    for each in given:
        if not _TYPE.fullmatch(each):
            raise click.BadParameter(f"{each!r} is not an event type such as invoice.paid")
    return given


def _text(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    if given == "":
        raise click.BadParameter("it is empty: leave the option out, or give a text")
    return None if given is None else storable(given)


def _ids(
    _context: click.Context, _argument: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(storable, given)))


filter_options = add_options(
    click.option(
        "--type",
        "types",
        multiple=True,
        callback=_event_types,
        help="Only events of this type; repeatable.",
    ),
    click.option(
        "--user",
        callback=_text,
        help="Only events about this user: your id, an id of Stripe or an e-mail address.",
    ),
    click.option(
        "--customer",
        callback=_text,
        help="Only events about this Stripe customer: cus_..., another id of Stripe, an e-mail.",
    ),
    click.option("--since", type=TimeParam(), help="Only from this time on: 2h, 3d, 2026-11-22."),
    click.option("--until", type=TimeParam(), help="Only before this time."),
)
"""The options that select settled events and dead letters alike."""

error_option = click.option(
    "--error", callback=_text, help="Only dead letters with this text in the error."
)
target_options = add_options(
    click.argument("ids", nargs=-1, metavar="[EVENT]...", callback=_ids),
    filter_options,
    error_option,
    click.option("--all", "everything", is_flag=True, help="All events."),
)


def event_filter(**conditions: Any) -> EventFilter:
    """Return the filter that the options give.

    Raises:
        UsageError: its time range ends before it begins.
    """
    wanted = EventFilter(**conditions)
    check_time_range(wanted.since, wanted.until)
    return wanted


def selection_of(*, ids: tuple[str, ...], everything: bool, **conditions: Any) -> Selection:
    """Return the selection.

    Raises:
        UsageError: it has none or two of ids, filter and --all, or an empty time range.
    """
    wanted = event_filter(**conditions)
    if [bool(ids), wanted != EventFilter(), everything].count(True) != 1:
        raise click.UsageError("name events, or give a filter, or --all: one of the three")
    return Selection(ids=ids, wanted=wanted)


def choose_letters(
    connection: Connection, selection: Selection, *states: str, realms: Sequence[Realm]
) -> list[Target]:
    """Return the selected dead letters, oldest failure first.

    Raises:
        CommandFailed: none matches, or an id does not exist or is in another state.
    """
    if selection.ids:
        return _named_letters(connection, selection.ids, states)
    keys = find_dead_letter_keys(connection, selection.wanted, OPEN, realms=realms)
    if not keys:
        wanted = selection.wanted
        named = find_dead_letter_keys(connection, wanted, OPEN, realms=realms, by_words=True)
        by_id = f"; {len(named)} bear it as a name or in metadata: give their ids" if named else ""
        raise CommandFailed(f"no open dead letter matches: nothing was changed{by_id}")
    return [Target(key=key, is_dead_letter=True) for key in reversed(keys)]


def choose_events(
    connection: Connection, realms: Sequence[Realm], selection: Selection
) -> list[Target]:
    """Return the selected settled events and dead letters, dead letters first.

    Raises:
        CommandFailed: none matches, or an id is neither.
    """
    if selection.ids:
        return _named_events(connection, selection.ids)
    wanted = selection.wanted
    only_dead = wanted.outcome == DEAD or wanted.error is not None
    dead: list[str] = []
    settled: list[str] = []
    if only_dead or (wanted.outcome is None and wanted.reason is None and not wanted.unfetched):
        dead = find_dead_letter_keys(connection, wanted, OPEN, realms=realms)
    if not only_dead:
        settled = settled_ids(connection, wanted, parties_named(connection, realms, wanted))
    if not dead and not settled:
        raise CommandFailed("no settled event and no dead letter matches: nothing was changed")
    letters = frozenset(dead)
    return [
        *(Target(key=key, is_dead_letter=True) for key in reversed(dead)),
        *(Target(key=key, is_dead_letter=False) for key in settled if key not in letters),
    ]


def _named_letters(
    connection: Connection, ids: Sequence[str], states: Sequence[str]
) -> list[Target]:
    letters = _letters(connection, ids)
    _refuse_unknown("no dead letter", [key for key in ids if key not in letters])
    for key in ids:
        state, by = letters[key]
        if state not in states:
            done = (
                "was already discarded" if state == "discarded" else "was applied in the meantime"
            )
            again = (
                f"; `paidup replay {key} --reason WHY` replays it" if state == "replayed" else ""
            )
            raise CommandFailed(f"{key} {done} (by {by}): nothing was changed{again}")
    return [Target(key=key, is_dead_letter=True) for key in ids]


def _named_events(connection: Connection, ids: Sequence[str]) -> list[Target]:
    letters = _letters(connection, ids)
    dead = {key for key, (state, _) in letters.items() if state != "replayed"}
    settled = set(connection.scalars(select(StripeEvent.id).where(one_of(StripeEvent.id, ids))))
    unknown = [key for key in ids if key not in dead | settled]
    _refuse_unknown("neither a settled event nor a dead letter", unknown)
    return [Target(key=key, is_dead_letter=key in dead) for key in ids]


def _letters(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    query = select(DeadLetter.event_id, DeadLetter.state, DeadLetter.resolved_by)
    found = connection.execute(query.where(one_of(DeadLetter.event_id, ids)))
    return {key: (state, by) for key, state, by in found}


def _refuse_unknown(what: str, unknown: Sequence[str]) -> None:
    if unknown:
        names = ", ".join(unknown[:_MAX_NAMES]) + (", ..." if len(unknown) > _MAX_NAMES else "")
        hint = f"`paidup events show {unknown[0]}` shows where it is"
        raise CommandFailed(f"{what}: {names}; nothing was changed; {hint}")
