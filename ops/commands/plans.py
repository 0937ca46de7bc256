"""``paidup plans``."""

import os
from collections.abc import Iterable
from pathlib import Path

import click
from sqlalchemy import Engine

from billing.catalogue import Catalogue
from billing.errors import InvalidCatalogue
from ops import connections as doors
from ops.plans import apply as plans_apply
from ops.plans.diff import PlansDiff
from ops.plans.render import diff_document, print_diff
from ops.terminal.operator_options import answerable
from ops.terminal.output import Json, console, emit_json, json_option
from ops.terminal.progress import progress
from ops.up.up_file import settings as find_settings
from runtime.ledger import catalogues
from runtime.ledger.maintenance import scan as walk
from runtime.plans_file import read_plans
from runtime.settings import Settings

file_argument = click.argument("file", required=False, type=click.Path(path_type=Path))
limit_option = click.option(
    "--limit",
    type=click.IntRange(0, 1_000_000),
    default=50,
    show_default=True,
    help="Users to show one by one; all are counted.",
)


@click.group(epilog="Example: paidup plans check plans.toml")
def plans() -> None:
    """What Stripe sells, and what it grants."""


@plans.command(epilog="Example: paidup plans check plans.toml --json")
@file_argument
@json_option
def check(file: Path | None, *, as_json: bool) -> int:
    """Name every mistake in a plans document (default: the one of PAIDUP_PLANS).

    Reads the file only; no server is asked and nothing changes.
    """
    path = file or Settings.from_env(os.environ).plans_path
    try:
        catalogue = read_plans(path)
    except InvalidCatalogue as error:
        _show_problems(path, error.problems, as_json=as_json)
        return 1
    _show_plans(path, catalogue, as_json=as_json)
    return 0


@plans.command(epilog="Example: paidup plans diff plans.toml --limit 500 --json")
@file_argument
@limit_option
@json_option
def diff(file: Path | None, *, limit: int, as_json: bool) -> int:
    """Say whose access a plans document would change, and how (default: that of PAIDUP_PLANS).

    Everybody's access is worked out by the document and held against what stands; nobody waits
    and nothing changes. Prices that are paid for and in no plan are listed with who waits.
    """
    return _diff(find_settings(os.environ, "DATABASE_URL"), file, limit=limit, as_json=as_json)


@plans.command(epilog='Example: paidup plans apply plans.toml --reason "price_premium_weekly"')
@file_argument
@click.option("--dry-run", is_flag=True, help="Show what would change, as diff; change nothing.")
@click.option("--resume", is_flag=True, help="Go on with an apply that was broken off.")
@limit_option
@answerable
@json_option
def apply(
    file: Path | None,
    *,
    dry_run: bool,
    resume: bool,
    limit: int,
    actor: str,
    reason: str | None,
    as_json: bool,
) -> int:
    """Make a plans document the catalogue of record (default: that of PAIDUP_PLANS).

    From one moment on every worker goes by it, whatever its own file says; then everybody's
    access is worked out again. Broken off anywhere, the same command or --resume goes on. Exit
    code 1 if somebody still follows older plans.
    """
    if resume and (file or dry_run):
        raise click.UsageError("--resume goes on with the plans of record: give it alone")
    settings = find_settings(os.environ, "DATABASE_URL")
    if dry_run:
        return _diff(settings, file, limit=limit, as_json=as_json)
    applied = None if resume else file or settings.plans_path
    return plans_apply.apply(settings, applied, actor=actor, reason=reason, as_json=as_json)


def _show_problems(path: Path, problems: Iterable[str], *, as_json: bool) -> None:
    if as_json:
        emit_json({"file": str(path), "ok": False, "problems": list(problems)})
    for problem in () if as_json else problems:
        click.echo(f"{path}: {problem}", err=True)


def _show_plans(path: Path, catalogue: Catalogue, *, as_json: bool) -> None:
    if as_json:
        listed: list[Json] = [plan.code for plan in catalogue.plans]
        emit_json({"file": str(path), "ok": True, "problems": [], "plans": listed})
        return
    from rich.table import Table  # noqa: PLC0415 - see ops.output.console

    table = Table("plan", "prices", "features", "grace days")
    for plan in catalogue.plans:
        features = ", ".join(f"{name} = {worth}" for name, worth in plan.features.items())
        table.add_row(plan.code, "\n".join(plan.prices), features, str(plan.grace_days))
    console().print(table)
    click.echo(f"{path}: usable")


def _diff(settings: Settings, file: Path | None, *, limit: int, as_json: bool) -> int:
    """Say what the document would change; the exit code."""
    path = file or settings.plans_path
    plans = read_plans(path)
    with doors.database(settings, asker="plans diff") as engine:
        with doors.snapshot(engine) as connection:
            record = catalogues.current(connection)
            same = not catalogues.differs(connection, plans)
            total = walk.count_projected(connection)
        found = PlansDiff(catalogue=record.succeeded_by(plans), limit=limit)
        _look(engine, found, total)
        with doors.snapshot(engine) as connection:
            shown = list(found.shown(connection))
    tell = (path, record.version, found, shown)
    if as_json:
        emit_json(diff_document(*tell, same=same))
    else:
        print_diff(*tell, same=same)
    return 0


def _look(engine: Engine, found: PlansDiff, total: int) -> None:
    with progress("looking ahead", total) as moved:
        for parties in walk.walk(engine, walk.projected):
            found.look(engine, parties)
            moved(found.parties)
