"""``paidup dead``."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
from sqlalchemy import Connection, Engine

from billing.ids import Realm
from billing.text import storable
from models.dead_letters import STATES
from ops import connections
from ops.bulk.plans import DISCARD, PlanRequest
from ops.bulk.run_plan import PlanRunner
from ops.bulk.targets import (
    Target,
    choose_letters,
    error_option,
    event_filter,
    filter_options,
    selection_of,
    target_options,
)
from ops.errors import CommandFailed
from ops.events.dead_letter_render import (
    LETTER_COLUMNS,
    PENDING_COLUMNS,
    pending_document,
    print_dead_letter,
    print_pending,
)
from ops.events.render import letter_document
from ops.queries.dead_letters import (
    OPEN,
    DeadLetterRow,
    find_dead_letter_keys,
    find_dead_letters,
)
from ops.queries.event_trace import find_dead_letter
from ops.queries.events import EventFilter
from ops.queries.lookups import look_up_each
from ops.queries.parties import configured_realms
from ops.queries.waiting_events import events_about, pending_letters
from ops.replay.start import ReplayOptions, alone_option, confirm, replay_options, run_here
from ops.replay.start import replay as run_replay
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_time
from ops.terminal.interrupt import Interruption
from ops.terminal.operator_options import operator_options, require_reason
from ops.terminal.output import json_option, print_json, print_list, print_rows, print_text
from ops.up.up_file import settings as find_settings
from runtime.failures.conflicts import dead_letter_conflicts
from runtime.failures.dead_letters import DiscardResult
from runtime.inbox.entries import PeekedEvent
from runtime.inbox.inbox import Inbox
from runtime.ledger.deliveries import DISCARDED
from runtime.settings import Settings

_ALL = "all"

T = TypeVar("T")


@click.group(epilog="Example: paidup dead list --error UnreadableEvent --since 2h")
def dead() -> None:
    """List, show, replay and discard dead letters: events that could not be applied."""


@dead.command(
    "list",
    epilog="Example: paidup dead list --type invoice.paid --since 3d",
    short_help="List dead letters, newest failure first.",
)
@filter_options
@error_option
@click.option("--state", type=click.Choice([*STATES, _ALL]), default=OPEN, show_default=True)
@click.option("--limit", type=click.IntRange(1, 100_000), default=20, show_default=True)
@json_option
def list_letters(*, state: str, limit: int, as_json: bool, **given: Any) -> int:
    """List dead letters, newest failure first, and events that will become dead letters.

    Times are those of the last failure. Exits 1 if PostgreSQL or Redis is unreachable.
    """
    wanted = event_filter(**given)
    states = STATES if state == _ALL else (state,)
    settings = find_settings(os.environ, "DATABASE_URL")
    unavailable: list[str] = []
    peeked = [
        each
        for each in _try(lambda: _waiting(settings), unavailable) or ()
        if OPEN in states and (not wanted.types or each.header.get("type") in wanted.types)
    ]

    def find(connection: Connection) -> tuple[list[DeadLetterRow], list[PeekedEvent], str]:
        realms = configured_realms(settings)
        lookups = look_up_each(connection, realms, user=wanted.user, customer=wanted.customer)
        about = events_about(connection, realms, tuple(lookups.values()), peeked, by_words=True)
        letters = find_dead_letters(
            connection, wanted, *states, limit=limit + 1, realms=realms, by_words=True
        )
        resolved = state == OPEN and not letters and lookups
        counted = _count_resolved(connection, wanted, realms) if resolved else {}
        return letters, about, _none_match(counted)

    found, waiting, none = _try(lambda: _query(settings, find), unavailable) or ([], peeked, "")
    more = len(found) > limit
    print_list(
        "dead_letters",
        found[:limit],
        LETTER_COLUMNS,
        as_json=as_json,
        empty=None if unavailable else none,
        notes=["there are more: --limit shows them"] if more else [],
        row_document=letter_document,
        more=more,
        dead_letter_pending=[pending_document(peeked) for peeked in waiting],
        unavailable=unavailable,
    )
    if not as_json:
        print_rows(PENDING_COLUMNS, waiting, title="in Redis until PostgreSQL takes them")
    for trouble in unavailable:
        click.echo(f"paidup: {with_command_name(trouble)}", err=True)
    return 1 if unavailable else 0


@dead.command(
    epilog="Example: paidup dead show evt_1Abc --payload",
    short_help="Show a dead letter, its error and history.",
)
@click.argument("event_id", metavar="EVENT")
@click.option("--payload", is_flag=True, help="Also show the payload from Stripe.")
@json_option
def show(event_id: str, *, payload: bool, as_json: bool) -> None:
    """Show one dead letter: its error, attempts, facts and audit entries."""
    key = storable(event_id)
    settings = find_settings(os.environ, "DATABASE_URL")
    unavailable: list[str] = []
    if found := _try(lambda: _query(settings, lambda c: find_dead_letter(c, key)), unavailable):
        letter, changes = found
        print_dead_letter(letter, changes, payload=payload, as_json=as_json)
        return
    pending = next((peeked for peeked in _waiting(settings) if peeked.key == key), None)
    if pending is None:
        unknown = (
            f"no dead letter {key!r}: `paidup dead list --state all` lists them,"
            " `paidup events show ID` finds any event"
        )
        raise CommandFailed(unavailable[0] if unavailable else unknown)
    print_pending(pending, payload=payload, as_json=as_json)


@dead.command(
    epilog="Example: paidup dead replay --error UnreadableEvent --reason 'v1.2 reads it'",
    short_help="Retry dead letters whose cause is fixed.",
)
@target_options
@replay_options
def replay(**given: Any) -> int:
    """Retry dead letters through the inbox once the cause is fixed.

    A dead letter stays open until its event is settled; one that fails again keeps its history.
    A filter selects only open dead letters; an id also selects a discarded one. Exits 1 if an
    event failed or is not settled yet.
    """
    options = ReplayOptions.taken_from(given)
    selection = selection_of(**given)

    def choose(connection: Connection, settings: Settings) -> list[Target]:
        realms = configured_realms(settings)
        return choose_letters(connection, selection, OPEN, "discarded", realms=realms)

    return run_replay(choose, options)


@dead.command(
    epilog="Example: paidup dead discard evt_1Abc --reason 'sent by a test account'",
    short_help="Discard dead letters: never apply them.",
)
@target_options
@click.option("--dry-run", is_flag=True, help="Show which events; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before discarding many events.")
@alone_option
@operator_options
@json_option
def discard(
    *,
    actor: str,
    reason: str | None,
    dry_run: bool,
    yes: bool,
    alone: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Discard dead letters: they are never applied, unless you replay them by id."""
    selection = selection_of(**given)
    why = "" if dry_run else require_reason(reason)
    settings = find_settings(os.environ, "DATABASE_URL", "REDIS_URL")
    with (
        connections.open_database(settings, application="dead") as engine,
        connections.open_inbox(settings) as inbox,
    ):
        if not dry_run:
            dead_letter_conflicts(inbox, engine)
        with connections.read_snapshot(engine) as connection:
            realms = configured_realms(settings)
            chosen = choose_letters(connection, selection, OPEN, realms=realms)
        keys = [target.key for target in chosen]
        _refuse_pending(inbox, keys)
        if dry_run:
            return _report_dry_run(keys, as_json=as_json)
        confirm(len(keys), "discard", yes=yes)
        request = PlanRequest(
            action=DISCARD, actor=actor, reason=why, selection=tuple(chosen), realms=realms
        )
        results = _discard(settings, engine, inbox, request, alone=alone)
    return _report(results, chosen=len(keys), as_json=as_json)


def _discard(
    settings: Settings, engine: Engine, inbox: Inbox, request: PlanRequest, *, alone: bool
) -> list[DiscardResult]:
    """Make a plan of the request and run it here; return the results in the order of their keys."""
    results: list[DiscardResult] = []
    runner = PlanRunner(
        settings=settings,
        engine=engine,
        inbox=inbox,
        pause=Interruption().pause,
        wait=False,
        on_discard=results.append,
    )
    run_here(runner, request, "discarding", alone=alone)
    return sorted(results, key=lambda each: each.key)


def _refuse_pending(inbox: Inbox, keys: Sequence[str]) -> None:
    if pending := inbox.pending(keys):
        raise CommandFailed(
            f"{pending[0]} is in the inbox again, replayed or sent once more: wait until it is"
            " settled; nothing was changed"
        )


def _count_resolved(
    connection: Connection, wanted: EventFilter, realms: Sequence[Realm]
) -> dict[str, int]:
    """Return how many dead letters that match are no longer open, by state."""
    states = (state for state in STATES if state != OPEN)
    found = {
        state: find_dead_letter_keys(connection, wanted, state, realms=realms, by_words=True)
        for state in states
    }
    return {state: len(keys) for state, keys in found.items() if keys}


def _none_match(resolved: Mapping[str, int]) -> str:
    if not resolved:
        return "no dead letter matches"
    counted = (f"{n} {'is' if n == 1 else 'are'} {state}" for state, n in resolved.items())
    return f"no open dead letter matches; {', '.join(counted)}: --state all shows them"


def _report_dry_run(keys: Sequence[str], *, as_json: bool) -> int:
    if as_json:
        print_json({"would_discard": list(keys), "resolved_by_others": []})
    for key in () if as_json else keys:
        print_text(f"would discard {key}")
    return 0


def _report(results: Sequence[DiscardResult], *, chosen: int, as_json: bool) -> int:
    others = [each for each in results if not each.discarded]
    if as_json:
        settled = {each.key: each.outcome for each in results if each.discarded and each.outcome}
        print_json(
            {
                "discarded": [each.key for each in results if each.discarded],
                "resolved_by_others": [each.key for each in others],
                "settled_before": settled,
            }
        )
    else:
        for each in results:
            print_text(_describe_discard(each))
    left = chosen - len(results)
    if left:
        click.echo(
            f"{left} of {chosen} were not discarded: the command was stopped, or they changed or"
            " came into the inbox meanwhile; the same command tries them again",
            err=True,
        )
    return 1 if others or left else 0


def _describe_discard(result: DiscardResult) -> str:
    key = result.key
    if result.discarded and result.outcome:
        return (
            f"discarded {key}; the event itself was settled before ({result.outcome}) and stays so:"
            f" `paidup events show {key}` shows its effects"
        )
    if result.discarded:
        return f"discarded {key}"
    done = "was discarded" if result.state == DISCARDED else f"was settled ({result.outcome})"
    at = format_time(result.resolved_at)
    return f"did not discard {key}: it {done} in the meantime, at {at} by {result.resolved_by}"


def _query(settings: Settings, query: Callable[[Connection], T]) -> T:
    with connections.open_snapshot(settings, application="dead") as connection:
        return query(connection)


def _waiting(settings: Settings) -> list[PeekedEvent]:
    with connections.open_inbox(settings) as inbox:
        return pending_letters(inbox)


def _try(ask: Callable[[], T], unavailable: list[str]) -> T | None:
    """Return the answer, or None and one more reason if its server is unreachable."""
    try:
        return ask()
    except CommandFailed as error:
        unavailable.append(str(error))
        return None
