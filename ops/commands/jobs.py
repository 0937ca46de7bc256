"""``paidup jobs``."""

import os
from collections.abc import Callable
from contextlib import suppress

import click
from sqlalchemy import Engine

from ops import connections
from ops.bulk import control
from ops.bulk.plans import (
    By,
    PlannedAction,
    list_plans,
    read_differences,
    read_items,
    read_plan,
)
from ops.bulk.render import PLAN_COLUMNS, plan_document, print_attention, print_plan
from ops.bulk.run_plan import PlanRunner
from ops.bulk.stored_preview import StoredPreview
from ops.errors import CommandFailed
from ops.replay.start import run_replay
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.operator_options import operator_options, require_reason
from ops.terminal.output import json_option, print_json, print_list, to_json
from ops.up.up_file import settings as find_settings
from runtime.parent_watch import PARENT_VARIABLE, end_with_parent, take_parent
from runtime.time_limits import GRACE_SECONDS

_SHOWN = 50
_MOST_DIGITS = 18

plan_argument = click.argument("named", metavar="PLAN")


def plan_number(named: str) -> int:
    """Return the number of the plan that an argument names.

    Raises:
        CommandFailed: it is no number.
    """
    if not named.isascii() or not named.isdigit() or len(named) > _MOST_DIGITS:
        raise CommandFailed(f"{named!r} is no number of a plan: `paidup jobs list` shows them")
    return int(named)


@click.group(epilog="Example: paidup jobs show 7")
def jobs() -> None:
    """List, approve, pause and run plans: bulk actions on a fixed set of events."""


@jobs.command(
    "list",
    epilog="Example: paidup jobs list --open",
    short_help="List plans, newest first.",
)
@click.option("--open", "open_only", is_flag=True, help="Only plans that are not over.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@json_option
def list_jobs(*, open_only: bool, limit: int, as_json: bool) -> None:
    """List plans, newest first, with how far each has come."""
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="jobs") as connection:
        found = list_plans(connection, limit=limit + 1, open_only=open_only)
    more = len(found) > limit
    print_list(
        "plans",
        found[:limit],
        PLAN_COLUMNS,
        as_json=as_json,
        empty="there is no plan",
        notes=["there are more: --limit shows them"] if more else [],
        row_document=plan_document,
        more=more,
    )


@jobs.command(epilog="Example: paidup jobs show 7 --json", short_help="Show a plan.")
@plan_argument
@json_option
def show(named: str, *, as_json: bool) -> None:
    """Show one plan: its progress, what needs attention, and what its preview showed."""
    plan = plan_number(named)
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="jobs") as connection:
        found = read_plan(connection, plan)
        items = read_items(connection, plan, limit=_SHOWN, states=("skipped", "failed"))
        differences = read_differences(connection, plan, limit=_SHOWN)
    if as_json:
        attention = {"items": to_json(items), "differences": to_json(differences)}
        print_json({**plan_document(found), **attention})
        return
    print_plan(found)
    print_attention(items, differences)


@jobs.command(epilog="Example: paidup jobs run 7 --rate 50", short_help="Start or go on.")
@plan_argument
@click.option("--rate", type=click.FloatRange(0.01, 1e6), help="Maximum events per second.")
@click.option(
    "--alone", is_flag=True, help="Go on without the approval of a second person; it is alerted."
)
@click.option("--go-on", is_flag=True, help="Leave a plan alone that is not to run by now.")
@operator_options
def run(
    named: str, *, rate: float | None, alone: bool, go_on: bool, actor: str, reason: str | None
) -> int:
    """Start a plan, or go on with it, and run it here until it is done, paused or cancelled.

    The supervisor of a worker starts this command for each plan that no living process runs, so a
    plan that is started goes on after a crash, and after Ctrl-C here. `jobs pause` stops it.
    """
    plan = plan_number(named)
    if PARENT_VARIABLE in os.environ:
        end_with_parent(take_parent(os.environ), grace_seconds=GRACE_SECONDS)
    settings = find_settings(os.environ, "DATABASE_URL", "REDIS_URL")
    by = By(actor=actor, reason=require_reason(reason) if alone else reason)
    with (
        connections.open_database(settings, application="jobs") as engine,
        connections.open_inbox(settings) as inbox,
    ):
        runner = PlanRunner(
            settings=settings, engine=engine, inbox=inbox, pause=Interruption().pause
        )
        found = _read(engine, plan)
        if found.state == "previewing":
            return _preview(runner, plan)
        if found.state != "running":
            if go_on:
                return _report(found)
            _start(runner, plan, by, rate=rate, alone=alone)
        done = runner.run(plan, lambda job, pause: run_replay(job, f"plan {plan}", pause))
        if done is None:
            raise CommandFailed(f"a living process runs plan {plan}: `paidup jobs show {plan}`")
        return _report(_read(engine, plan))


@jobs.command(epilog="Example: paidup jobs approve 7", short_help="Approve as a second person.")
@plan_argument
@operator_options
def approve(named: str, *, actor: str, reason: str | None) -> None:
    """Approve a plan that another person made; a worker runs it if it waited for that.

    On a command line people have the names they give: this is a record. The console is a barrier.
    """
    plan = plan_number(named)
    _change(lambda engine: control.approve(engine, plan, By(actor=actor, reason=reason)))


@jobs.command(
    epilog="Example: paidup jobs pause 7 --reason 'the database is busy'",
    short_help="Pause a running plan.",
)
@plan_argument
@operator_options
def pause(named: str, *, actor: str, reason: str | None) -> None:
    """Pause a running plan: it starts no further event until it is resumed."""
    plan = plan_number(named)
    by = By(actor=actor, reason=require_reason(reason))
    _change(lambda engine: control.pause(engine, plan, by))


@jobs.command(epilog="Example: paidup jobs resume 7 --allow usr_9", short_help="Let a plan go on.")
@plan_argument
@click.option(
    "--allow",
    multiple=True,
    metavar="USER",
    help="It may take access from or move money of this user, whom the preview did not name.",
)
@click.option("--skip", multiple=True, metavar="EVENT", help="Leave out this event.")
@operator_options
def resume(
    named: str, *, allow: tuple[str, ...], skip: tuple[str, ...], actor: str, reason: str | None
) -> None:
    """Let a paused plan go on: a worker runs it. What it paused for needs --allow or --skip."""
    plan = plan_number(named)
    by, answers = By(actor=actor, reason=reason), control.PauseAnswers(allow=allow, skip=skip)
    _change(lambda engine: control.resume(engine, plan, by, answers))


@jobs.command(
    epilog="Example: paidup jobs cancel 7 --reason 'the wrong events'",
    short_help="Cancel a plan for good.",
)
@plan_argument
@operator_options
def cancel(named: str, *, actor: str, reason: str | None) -> None:
    """Cancel a plan for good: what is done stays."""
    plan = plan_number(named)
    by = By(actor=actor, reason=require_reason(reason))
    _change(lambda engine: control.cancel(engine, plan, by))


def _start(runner: PlanRunner, plan: int, by: By, *, rate: float | None, alone: bool) -> None:
    started = control.start(
        runner.engine,
        plan,
        by,
        approval_above=runner.settings.approval_above,
        rate=rate,
        alone=alone,
        owner=runner.owner,
    )
    if started.state == "waiting":
        raise CommandFailed(
            f"plan {plan} waits until a second person says `paidup jobs approve {plan}`;"
            " --alone goes on without"
        )


def _preview(runner: PlanRunner, plan: int) -> int:
    stored = StoredPreview(
        settings=runner.settings, engine=runner.engine, inbox=runner.inbox, pause=runner.pause
    )
    with suppress(Interrupted):
        for _ in stored.stream(plan):
            runner.pause(0.0)
    return _report(_read(runner.engine, plan))


def _change(change: Callable[[Engine], PlannedAction]) -> None:
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_database(settings, application="jobs") as engine:
        print_plan(change(engine))


def _read(engine: Engine, plan: int) -> PlannedAction:
    with connections.read_snapshot(engine) as connection:
        return read_plan(connection, plan)


def _report(plan: PlannedAction) -> int:
    """Print the plan after a run; return 0 if nothing of it is left to do."""
    print_plan(plan)
    return 0 if plan.state in {"done", "previewed"} else 1
