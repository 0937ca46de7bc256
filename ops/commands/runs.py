"""``paidup runs``."""

import os
from typing import Final

import click

from ops import connections
from ops.errors import CommandFailed
from ops.queries.stripe_runs import StripeRunRow, newest_runs
from ops.stripe_runs.runs import cancel as cancel_run
from ops.terminal.formats import format_time
from ops.terminal.operator_options import operator_options, require_reason
from ops.terminal.output import Columns, json_option, print_list
from ops.up.up_file import settings as find_settings

_MOST_DIGITS: Final = 18

_COLUMNS: Final[Columns[StripeRunRow]] = {
    "run": lambda run: run.id,
    "what": lambda run: run.kind,
    "account": lambda run: run.realm,
    "state": lambda run: run.state_now,
    "began": lambda run: format_time(run.started_at),
    "ended": lambda run: format_time(run.ended_at),
    "requests": lambda run: run.requests,
    "objects": lambda run: run.objects,
    "by": lambda run: run.actor,
    "reason": lambda run: run.state_reason or run.reason or "",
}


@click.group(epilog="Example: paidup runs list")
def runs() -> None:
    """List backfills and reconciliations, and cancel one."""


@runs.command(
    "list",
    epilog="Example: paidup runs list --json",
    short_help="List runs, newest first.",
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@json_option
def list_runs(*, limit: int, as_json: bool) -> None:
    """List backfills and reconciliations, newest first, with how far each has come."""
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="runs") as connection:
        found = newest_runs(connection, limit=limit + 1)
    more = len(found) > limit
    print_list(
        "runs",
        found[:limit],
        _COLUMNS,
        as_json=as_json,
        empty="there is no run",
        notes=["there are more: --limit shows them"] if more else [],
        more=more,
    )


@runs.command(
    epilog="Example: paidup runs cancel 7 --reason 'the wrong account'",
    short_help="Cancel a run for good.",
)
@click.argument("named", metavar="RUN")
@operator_options
def cancel(named: str, *, actor: str, reason: str | None) -> None:
    """Cancel a run for good: what it stored stays, and its process stops at its next page."""
    run, why = _run_number(named), require_reason(reason)
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_database(settings, application="runs") as engine:
        if not cancel_run(engine, run, why, actor=actor):
            raise CommandFailed(
                f"there is no run {run} that has not ended: `paidup runs list` shows them"
            )
    click.echo(f"run {run} is cancelled; what it stored stays")


def _run_number(named: str) -> int:
    if not named.isascii() or not named.isdigit() or len(named) > _MOST_DIGITS:
        raise CommandFailed(f"{named!r} is no number of a run: `paidup runs list` shows them")
    return int(named)
