"""What ``paidup replay`` and ``paidup dead replay`` do once it is known which events are meant."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
import structlog
from redis.exceptions import RedisError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ops import connections as doors
from ops.errors import NotDone, sentence
from ops.queries.replay_results import mark
from ops.replay.preview import Seer
from ops.replay.render import (
    foresight_document,
    print_foresight,
    print_replay,
    replay_document,
    words,
)
from ops.replay.requeue import FrontDoor, Order
from ops.replay.run import DONE, Pace, Replay
from ops.replay.targets import MANY, Target
from ops.terminal.interrupt import Interruption
from ops.terminal.operator_options import answerable, reason_given
from ops.terminal.output import emit_json, json_option
from ops.up.up_file import settings as find_settings
from runtime.broker import Wakes, make_celery
from runtime.failures.conflicts import bury_conflicts
from runtime.inbox.inbox import Inbox
from runtime.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
Choose = Callable[[Connection, Settings], list[Target]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a replay is to be done."""

    actor: str
    reason: str | None
    rate: float | None
    dry_run: bool
    wait: bool
    yes: bool
    as_json: bool


def replay_options(command: F) -> F:
    """Everything about a replay but what is to be replayed."""
    options = (
        click.option("--dry-run", is_flag=True, help="Show what would change; change nothing."),
        click.option("--rate", type=click.FloatRange(0.01, 1e6), help="At most so many a second."),
        click.option("--wait/--no-wait", default=True, help="Wait for what becomes of each."),
        click.option("--yes", is_flag=True, help=f"Do not ask, even for more than {MANY}."),
        answerable,
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def replay(choose: Choose, wish: Wish) -> int:
    """Choose, ask, let in, wait and tell; the exit code."""
    needed = ["DATABASE_URL"] if wish.dry_run else ["DATABASE_URL", "REDIS_URL"]
    settings = find_settings(os.environ, *needed)
    if not wish.dry_run:
        reason_given(wish.reason)
    with doors.database(settings, asker="replay") as engine:
        if wish.dry_run:
            return _foresee(settings, engine, choose, wish)
        with doors.asking_inbox(settings) as inbox:
            bring_in_conflicts(inbox, engine)
            return _replay(settings, engine, inbox, choose, wish)


def bring_in_conflicts(inbox: Inbox, engine: Engine) -> None:
    """Make letters of the second bodies that no supervisor has moved yet."""
    if inbox.conflicts():
        bury_conflicts(inbox, engine)


def confirm(number: int, verb: str, *, yes: bool) -> None:
    """Ask before much is done.

    Raises:
        NotDone: there is nobody to ask.
        Abort: the answer is no.
    """
    if number <= MANY or yes:
        return
    if not sys.stdin.isatty():
        raise NotDone(f"{number} events: add --yes if you mean all of them; nothing was done")
    click.confirm(f"{verb} {number} events?", abort=True, err=True)


def _foresee(settings: Settings, engine: Engine, choose: Choose, wish: Wish) -> int:
    with doors.snapshot(engine) as connection:
        chosen = choose(connection, settings)
    asked = {"actor": wish.actor, "reason": wish.reason}
    seer = Seer.of(settings, engine, now=datetime.now(UTC), **asked)
    with bar("looking ahead", len(chosen)) as moved:
        foresight = seer.foresee(chosen, lambda seen: moved(len(seen.told), words(seen.counts())))
    if wish.as_json:
        emit_json(foresight_document(foresight))
    else:
        print_foresight(foresight)
    return 0 if foresight.counts().keys() <= DONE else 1


def _replay(settings: Settings, engine: Engine, inbox: Inbox, choose: Choose, wish: Wish) -> int:
    with doors.snapshot(engine) as connection:
        since = mark(connection)
        chosen = choose(connection, settings)
    confirm(len(chosen), "replay", yes=wish.yes)
    order = Order(actor=wish.actor, reason=reason_given(wish.reason), mark=since)
    publish = Wakes(make_celery(settings, role="publisher")).publish
    door = FrontDoor(engine=engine, inbox=inbox, publish=publish, order=order)
    run = Replay(
        let_in=door.let_in,
        inbox=inbox,
        engine=engine,
        mark=since,
        pace=Pace(rate=wish.rate, clock=time.monotonic),
        wait=wish.wait,
        todo=deque(chosen),
    )
    with logs_on_stderr():
        _run(run)
    if wish.as_json:
        emit_json(replay_document(run))
    else:
        print_replay(run)
    return 0 if run.counts().keys() <= DONE else 1


def showing(moved: Callable[[int, str], None]) -> Callable[[Replay], None]:
    """How far a replay is, on its bar; and once each what keeps anything from moving."""
    troubles: list[str] = []

    def show(seen: Replay) -> None:
        moved(len(seen.told), words(seen.counts()))
        if seen.trouble and seen.trouble not in troubles:
            troubles.append(seen.trouble)
            click.echo(seen.trouble, err=True)

    return show


def _run(run: Replay) -> None:
    interruption = Interruption()
    with bar("replaying", run.total) as moved:
        show = showing(moved)
        try:
            run.run(interruption.pause, show)
        except (RedisError, SQLAlchemyError) as error:
            done = f"{run.readmitted} of {run.total} were readmitted, the others are untouched"
            raise NotDone(f"{sentence(error)}; {done}: run the same command again") from error


@contextmanager
def logs_on_stderr() -> Iterator[None]:
    """A wake-up that could not be sent is logged; standard output is for the answer."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        yield
    finally:
        structlog.configure(**before)


@contextmanager
def bar(name: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Progress on standard error; nothing at all where nobody looks."""
    from rich.console import Console  # noqa: PLC0415 - see ops.output.console
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    screen = Console(stderr=True)
    said = TextColumn("{task.description} {task.fields[said]}")
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), said)
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task(name, total=total, said="")
        yield lambda done, words: bar.update(task, completed=done, said=words)


def discardable(chosen: Sequence[Target], inbox: Inbox) -> None:
    """Refuse letters whose events are on their way through the inbox.

    Raises:
        NotDone: one of them is.
    """
    pending = inbox.pending([target.key for target in chosen])
    if pending:
        raise NotDone(
            f"{pending[0]} is in the inbox again, replayed or sent once more: wait for what"
            " becomes of it; nothing was done"
        )
