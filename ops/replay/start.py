"""Run ``paidup replay`` and ``paidup dead replay`` for the events that they select."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import Any

import click
import structlog
from redis.exceptions import RedisError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ops import connections
from ops.bulk.control import cancel, start
from ops.bulk.plans import REPLAY, By, PlannedItem, PlanRefused, PlanRequest, make_plan, read_plan
from ops.bulk.preview import ReplayPreviewer
from ops.bulk.run import Replay
from ops.bulk.run_plan import PlanRunner
from ops.bulk.targets import MANY, Target
from ops.errors import CommandFailed, user_message
from ops.queries.parties import configured_realms
from ops.replay.render import format_counts, print_preview, print_replay
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_count
from ops.terminal.interrupt import Interruption
from ops.terminal.operator_options import operator_options, require_reason
from ops.terminal.output import add_options, json_option
from ops.terminal.progress import progress
from ops.up.up_file import settings as find_settings
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
    alone: bool
    as_json: bool

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> "ReplayOptions":
        """Remove these options from all that the command line gave, and return them."""
        return cls(**{each.name: given.pop(each.name) for each in fields(cls)})


alone_option = click.option(
    "--alone", is_flag=True, help="Go on without the approval of a second person; it is alerted."
)
replay_options = add_options(
    click.option("--dry-run", is_flag=True, help="Show what would change; change nothing."),
    click.option("--rate", type=click.FloatRange(0.01, 1e6), help="Maximum events per second."),
    click.option("--wait/--no-wait", default=True, help="Wait for the result of each event."),
    click.option(
        "--yes", is_flag=True, help=f"Do not ask before replaying more than {MANY} events."
    ),
    alone_option,
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
            with connections.read_snapshot(engine) as connection:
                chosen = choose(connection, settings)
            confirm(len(chosen), "replay", yes=options.yes)
            return _replay(settings, engine, inbox, chosen, options)


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
    settings: Settings,
    engine: Engine,
    inbox: Inbox,
    chosen: Sequence[Target],
    options: ReplayOptions,
) -> int:
    runner = PlanRunner(
        settings=settings,
        engine=engine,
        inbox=inbox,
        pause=Interruption().pause,
        wait=options.wait,
        keep_all=True,
    )
    request = PlanRequest(
        action=REPLAY,
        actor=options.actor,
        reason=require_reason(options.reason),
        selection=tuple(chosen),
        realms=configured_realms(settings),
    )
    run = run_here(runner, request, "replaying", rate=options.rate, alone=options.alone)
    print_replay(run, as_json=options.as_json)
    return 0 if run.results.all_done else 1


def run_here(
    runner: PlanRunner,
    request: PlanRequest,
    name: str,
    *,
    rate: float | None = None,
    alone: bool = False,
) -> Replay[PlannedItem]:
    """Make a plan and run it in this process; it is cancelled if the command is interrupted.

    If the process is killed instead, a worker's supervisor goes on with the plan. If another person
    pauses it, it stays paused.

    Raises:
        CommandFailed: the plan waits for an approval, or a server failed.
    """
    engine, by = runner.engine, By(actor=request.actor, reason=request.reason)
    plan = start(
        engine,
        make_plan(engine, request).result,
        by,
        approval_above=runner.settings.approval_above,
        rate=rate,
        alone=alone,
        owner=runner.owner,
    )
    if plan.state == "waiting":
        raise CommandFailed(
            f"plan {plan.id} has {format_count(plan.items, 'event')}, more than"
            " PAIDUP_APPROVAL_ABOVE: once a second person says"
            f" `paidup jobs approve {plan.id}`, a worker runs it; --alone does it now;"
            " nothing was changed"
        )
    run: Replay[PlannedItem] | None = None
    try:
        run = runner.run(plan.id, lambda replay, pause: run_replay(replay, name, pause))
    finally:
        if run is None or run.interrupted:
            with suppress(PlanRefused, SQLAlchemyError):
                _cancel_if_running(engine, plan.id, request.actor)
    if run is None:
        raise CommandFailed(
            f"another process took plan {plan.id}: `paidup jobs show {plan.id}` says how far it is"
        )
    return run


def _cancel_if_running(engine: Engine, plan: int, actor: str) -> None:
    """Cancel the plan of an interrupted command, but not one that a person paused meanwhile."""
    with connections.read_snapshot(engine) as connection:
        is_running = read_plan(connection, plan).state == "running"
    if is_running:
        cancel(engine, plan, By(actor=actor, reason="interrupted"))


def run_replay(
    replay: Replay[Any], name: str, pause: Callable[[float], None] | None = None
) -> None:
    """Run a replay with a progress bar of this name; print each reason for a stall once.

    Without a ``pause`` of the caller, Ctrl-C and SIGTERM interrupt it.

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

    with logs_on_stderr(), progress(name, replay.total) as report:
        try:
            replay.run(pause or Interruption().pause, report_replay)
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
