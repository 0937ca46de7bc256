"""``paidup dead``."""

import os
from collections.abc import Sequence
from typing import Any

import click
from sqlalchemy import Connection, select

from billing.text import storable
from models.dead_letters import STATES
from models.tables import AuditLog
from ops import connections as doors
from ops.errors import NotDone
from ops.events.dead_letter_render import (
    Listed,
    Shown,
    glimpse_document,
    listed_document,
    print_glimpse,
    print_listed,
    print_shown,
    shown_document,
)
from ops.queries.dead_letters import OPEN, LetterFilter, letters
from ops.queries.event_trace import Change
from ops.replay.start import Wish, bring_in_conflicts, confirm, discardable, replay_options
from ops.replay.start import replay as carry_out
from ops.replay.targets import (
    Selection,
    Target,
    check_times,
    choose_letters,
    filters,
    selection_of,
    targets,
)
from ops.terminal.operator_options import answerable, reason_given
from ops.terminal.output import emit_json, json_option, say
from ops.up.up_file import settings as find_settings
from runtime.failures.dead_letters import UNBURIED
from runtime.failures.dead_letters import discard as discard_letters
from runtime.inbox.entries import Glimpse
from runtime.settings import Settings

_ALL = "all"
_HOW = ("actor", "reason", "rate", "dry_run", "wait", "yes", "as_json")
_MOST_WAITING = 100


@click.group(epilog="Example: paidup dead list --error UnreadableEvent --since 2h")
def dead() -> None:
    """Events that could not be applied: look at them, replay or discard them."""


@dead.command("list", epilog="Example: paidup dead list --type invoice.paid --since 3d")
@filters
@click.option("--state", type=click.Choice([*STATES, _ALL]), default=OPEN, show_default=True)
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
def list_letters(*, state: str, limit: int, as_json: bool, **given: Any) -> int:
    """List dead letters, the last failures first, and what is still in Redis on its way to them.

    Times are those of the last failure. Exit code 1 if PostgreSQL does not answer.
    """
    selection = Selection(ids=(), **given)
    check_times(selection)
    states = STATES if state == _ALL else (state,)
    listed = _look(selection.letters(*states), limit)
    if as_json:
        emit_json(listed_document(listed))
    else:
        print_listed(listed)
    for trouble in listed.away:
        click.echo(f"paidup: {trouble}", err=True)
    return 1 if listed.away else 0


@dead.command(epilog="Example: paidup dead show evt_1Abc --payload")
@click.argument("event_id", metavar="EVENT")
@click.option("--payload", is_flag=True, help="Show what Stripe sent, too.")
@json_option
def show(event_id: str, *, payload: bool, as_json: bool) -> None:
    """Show one dead letter: why it failed, how often, what it would state and what was done."""
    key = storable(event_id)
    shown = _find(key)
    match shown:
        case Shown() if as_json:
            emit_json(shown_document(shown, payload=payload))
        case Shown():
            print_shown(shown, payload=payload)
        case Glimpse() if as_json:
            emit_json(glimpse_document(shown, payload=payload))
        case Glimpse():
            print_glimpse(shown, payload=payload)


@dead.command(epilog="Example: paidup dead replay --error UnreadableEvent --reason 'v1.2 reads it'")
@targets
@replay_options
def replay(**given: Any) -> int:
    """Let dead letters in again, through the inbox, after what was wrong is mended.

    A letter stays open until its event is settled; one that fails again comes back with its
    history. By filter, only open letters are meant; by id a discarded one, too. Exit code 1 if
    one of them failed or is not settled yet.
    """
    how = {name: given.pop(name) for name in _HOW}
    selection = selection_of(**given)

    def choose(connection: Connection, _settings: Settings) -> list[Target]:
        return choose_letters(connection, selection, OPEN, "discarded")

    return carry_out(choose, Wish(**how))


@dead.command(epilog="Example: paidup dead discard evt_1Abc --reason 'sent by a test account'")
@targets
@click.option("--dry-run", is_flag=True, help="Show which; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask, even for many.")
@answerable
@json_option
def discard(
    *, actor: str, reason: str | None, dry_run: bool, yes: bool, as_json: bool, **given: Any
) -> int:
    """Decide that events are never applied, unless somebody replays them by their id."""
    selection = selection_of(**given)
    said = "" if dry_run else reason_given(reason)
    settings = find_settings(os.environ, "DATABASE_URL", "REDIS_URL")
    with (
        doors.database(settings, asker="dead") as engine,
        doors.asking_inbox(settings) as inbox,
    ):
        if not dry_run:
            bring_in_conflicts(inbox, engine)
        with doors.snapshot(engine) as connection:
            chosen = choose_letters(connection, selection, OPEN)
        discardable(chosen, inbox)
        keys = [target.key for target in chosen]
        if dry_run:
            return _told(keys, keys, as_json=as_json, verb="would discard")
        confirm(len(keys), "discard", yes=yes)
        gone = discard_letters(engine, keys, actor=actor, reason=said)
    return _told(keys, gone, as_json=as_json, verb="discarded")


def _told(keys: Sequence[str], gone: Sequence[str], *, as_json: bool, verb: str) -> int:
    left = sorted(set(keys) - set(gone))
    if as_json:
        emit_json({verb.replace(" ", "_"): list(gone), "dealt_with_meanwhile": left})
    else:
        for key in gone:
            say(f"{verb} {key}")
        for key in left:
            say(f"{key} was dealt with by somebody else meanwhile")
    return 1 if left else 0


def _look(wanted: LetterFilter, limit: int) -> Listed:
    settings = find_settings(os.environ, "DATABASE_URL")
    away: list[str] = []
    waiting: list[Glimpse] = []
    found = []
    try:
        waiting = _waiting(settings)
    except NotDone as error:
        away.append(str(error))
    try:
        with doors.database(settings, asker="dead") as engine, doors.snapshot(engine) as opened:
            found = letters(opened, wanted, limit=limit + 1)
    except NotDone as error:
        away.append(str(error))
    meant = OPEN in wanted.states
    return Listed(
        letters=found[:limit],
        waiting=[each for each in waiting if meant and _is_meant(each, wanted)],
        more=len(found) > limit,
        away=away,
    )


def _is_meant(glimpse: Glimpse, wanted: LetterFilter) -> bool:
    return not wanted.types or glimpse.header.get("type") in wanted.types


def _waiting(settings: Settings) -> list[Glimpse]:
    with doors.asking_inbox(settings) as inbox:
        keys = [*inbox.conflicts(), *inbox.failed_with(UNBURIED)]
        seen = inbox.peek(keys[:_MOST_WAITING])
    return [glimpse for glimpse in seen if glimpse.state != "absent"]


def _find(key: str) -> Shown | Glimpse:
    settings = find_settings(os.environ, "DATABASE_URL")
    blind = None
    try:
        with doors.database(settings, asker="dead") as engine, doors.snapshot(engine) as opened:
            if found := letters(opened, LetterFilter(keys=(key,), states=STATES)):
                return Shown(letter=found[0], changes=_done_about(opened, key))
    except NotDone as error:
        blind = str(error)
    for glimpse in _waiting(settings):
        if glimpse.key == key:
            return glimpse
    raise NotDone(
        blind
        or f"no dead letter {key!r}: `paidup dead list --state all` lists them,"
        " `paidup events show` finds any event"
    )


def _done_about(connection: Connection, key: str) -> list[Change]:
    columns = [getattr(AuditLog, name) for name in Change.__dataclass_fields__]
    query = select(*columns).where(
        AuditLog.target_type.in_(("dead_letter", "event")), AuditLog.target_id == key
    )
    return [Change(**row) for row in connection.execute(query.order_by(AuditLog.id)).mappings()]
