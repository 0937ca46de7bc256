"""``paidup reconcile show`` and ``paidup reconcile list``."""

import json
import os
from pathlib import Path

import click

from ops import connections
from ops.export.output_file import open_output
from ops.reconcile.differences import read_differences
from ops.reconcile.export import run_document, run_lines
from ops.reconcile.past_runs import NoSuchRun, PastRun, list_runs, newest_agreement, read_run
from ops.reconcile.render import in_order
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_time
from ops.terminal.output import Columns, json_option, print_json, print_list, print_text
from ops.up.up_file import settings as find_settings


@click.command(
    "show",
    epilog="Example: paidup reconcile show --output agreement.txt",
    short_help="Show a statement of agreement.",
)
@click.argument("run", metavar="[RUN]", type=click.IntRange(1), required=False)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A new file, readable by its owner: text, or JSON with --json.",
)
@json_option
def show_run(run: int | None, *, output: Path | None, as_json: bool) -> int:
    """Show the statement of agreement in which a run ended, and each difference.

    Without RUN, that of the newest comparison of all objects. Exits 1 if something differs.
    """
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="reconcile") as connection:
        found = newest_agreement(connection) if run is None else read_run(connection, run)
        if found is None:
            raise NoSuchRun(None)
        differences = in_order(read_differences(connection, found.id))
    if output is not None:
        document = json.dumps(run_document(found, differences), indent=2, default=str)
        lines = [document] if as_json else run_lines(found, differences)
        with open_output(output) as file:
            file.writelines(f"{with_command_name(line)}\n".encode() for line in lines)
        click.echo(f"the statement of run {found.id} is in {output}", err=True)
    elif as_json:
        print_json(run_document(found, differences))
    else:
        for line in run_lines(found, differences):
            print_text(with_command_name(line))
    return 0 if found.agrees else 1


@click.command(
    "list", epilog="Example: paidup reconcile list --limit 5", short_help="List comparisons."
)
@click.option(
    "--before", type=click.IntRange(1), help="Only runs with lower numbers: the next page."
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@json_option
def list_past(*, before: int | None, limit: int, as_json: bool) -> None:
    """List comparisons with Stripe, newest first, each with the statement that it ended in."""
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="reconcile") as connection:
        found = list_runs(connection, limit=limit + 1, before=before)
    shown = found[:limit]
    on = shown[-1].id if len(found) > limit else None
    print_list(
        "runs",
        shown,
        _COLUMNS,
        as_json=as_json,
        empty="nothing was compared with Stripe yet: `paidup reconcile`",
        notes=[f"there are more: --before {on} shows them"] if on is not None else [],
        before=on,
    )


_COLUMNS: Columns[PastRun] = {
    "run": lambda run: run.id,
    "account": lambda run: run.realm,
    "compared": lambda run: run.about,
    "state": lambda run: run.state,
    "started": lambda run: format_time(run.started_at),
    "by": lambda run: run.actor,
    "agrees": lambda run: run.agrees,
    "says": lambda run: run.says,
}
