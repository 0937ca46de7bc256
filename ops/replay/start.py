"""Run ``paidup replay`` and ``paidup dead replay`` for the events that they select."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import click
import structlog
from redis.exceptions import RedisError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ops import connections
from ops.bulk.preview import ReplayPreviewer
from ops.bulk.requeue import Requeuer
from ops.bulk.run import Pace, Replay
from ops.bulk.targets import MANY, Target
from ops.errors import CommandFailed, user_message
from ops.queries.replay_results import current_mark
from ops.replay.render import format_counts, print_preview, print_replay
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_count
from ops.terminal.interrupt import Interruption
from ops.terminal.operator_options import operator_options, require_reason
from ops.terminal.output import add_options, json_option
from ops.terminal.progress import progress
from ops.up.up_file import settings as find_settings
from runtime.broker import WakePublisher, make_celery
from runtime.failures.conflicts import dead_letter_conflicts
from runtime.inbox.inbox import Inbox
from runtime.settings import Settings

Choose = Callable[[Connection, Settings], list[Target]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """The options of a replay: who, why, how fast, and what to print."""

    actor: str
    reason: str | None
    rate: float | None
    dry_run: bool
    wait: bool
    yes: bool
    as_json: bool

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> "ReplayOptions":
        """Remove these options from all that the command line gave, and return them."""
        return cls(**{each.name: given.pop(each.name) for each in fields(cls)})


replay_options = add_options(
    click.option("--dry-run", is_flag=True, help="Show what would change; change nothing."),
    click.option("--rate", type=click.FloatRange(0.01, 1e6), help="Maximum events per second."),
    click.option("--wait/--no-wait", default=True, help="Wait for the result of each event."),
    click.option(
        "--yes", is_flag=True, help=f"Do not ask before replaying more than {MANY} events."
    ),
    operator_options,
    json_option,
)
"""The options of a replay, except those that select events."""


def replay(choose: Choose, options: ReplayOptions) -> int:
    """Select events, ask, requeue them, wait and report. Return the exit code."""
    settings = replay_settings(options)
    with connections.open_database(settings, application="replay") as engine:
        if options.dry_run:
            return _preview(settings, engine, choose, options)
        with connections.open_inbox(settings) as inbox:
            dead_letter_conflicts(inbox, engine)  # if no supervisor has done it yet
            return _replay(settings, engine, inbox, choose, options)


def replay_settings(options: ReplayOptions) -> Settings:
    """Return the settings of a replay; only a dry run needs no Redis and no reason.

    Raises:
        UsageError: no reason was given.
    """
    needed = ["DATABASE_URL"] if options.dry_run else ["DATABASE_URL", "REDIS_URL"]
    settings = find_settings(os.environ, *needed)
    if not options.dry_run:
        require_reason(options.reason)
    return settings


def confirm(number: int, verb: str, *, yes: bool) -> None:
    """Ask before acting on more than 20 events.

    Raises:
        CommandFailed: standard input is no terminal, so there is no one to ask.
        Abort: the operator said no.
    """
    if number <= MANY or yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed(
            f"{format_count(number, 'event')} selected: add --yes to {verb} all of them;"
            " nothing was changed"
        )
    click.confirm(f"{verb} {format_count(number, 'event')}?", abort=True, err=True)


def _preview(settings: Settings, engine: Engine, choose: Choose, options: ReplayOptions) -> int:
    with connections.read_snapshot(engine) as connection:
        chosen = choose(connection, settings)
    previewer = ReplayPreviewer(settings, engine)
    with progress("previewing", len(chosen)) as report:
        previewer.run(
            chosen,
            lambda preview: report(
                preview.results.counts.total(), format_counts(preview.results.counts)
            ),
        )
    print_preview(previewer.preview, as_json=options.as_json)
    return 0 if previewer.preview.results.all_done else 1


def _replay(
    settings: Settings, engine: Engine, inbox: Inbox, choose: Choose, options: ReplayOptions
) -> int:
    with connections.read_snapshot(engine) as connection:
        since = current_mark(connection)
        chosen = choose(connection, settings)
    confirm(len(chosen), "replay", yes=options.yes)
    requeuer = Requeuer(
        engine=engine,
        inbox=inbox,
        publish=WakePublisher(make_celery(settings, role="publisher")).publish,
        actor=options.actor,
        reason=require_reason(options.reason),
        mark=since,
    )
    run = Replay(
        requeue=requeuer.requeue,
        inbox=inbox,
        engine=engine,
        mark=since,
        pace=Pace(rate=options.rate, clock=time.monotonic),
        wait=options.wait,
        todo=iter(chosen),
        total=len(chosen),
    )
    run_replay(run, "replaying")
    print_replay(run, as_json=options.as_json)
    return 0 if run.results.all_done else 1


def run_replay(replay: Replay[Any], name: str) -> None:
    """Run a replay with a progress bar of this name; print each reason for a stall once.

    Raises:
        CommandFailed: a server failed; the error says how many events were requeued.
    """
    printed: set[str] = set()

    def report_replay(replay: Replay[Any]) -> None:
        report(replay.results.counts.total(), format_counts(replay.results.counts))
        reason = replay.stall_reason
        if reason and reason not in printed:
            printed.add(reason)
            click.echo(with_command_name(reason), err=True)

    pause = Interruption().pause
    with logs_on_stderr(), progress(name, replay.total) as report:
        try:
            replay.run(pause, report_replay)
        except (RedisError, SQLAlchemyError) as error:
            done = f"{replay.requeued} of {replay.total} were requeued, the others are not started"
            raise CommandFailed(
                f"{user_message(error)}; {done}: run the same command again"
            ) from error


@contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Send log lines, such as that of a lost wake-up, to standard error."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        yield
    finally:
        structlog.configure(**before)
