"""``paidup plans``."""

import os
from collections.abc import Iterable
from pathlib import Path

import click

from billing.catalogue import Catalogue
from billing.errors import InvalidCatalogue
from ops.output import Json, console, emit_json, json_option
from runtime.plansfile import read_plans
from runtime.settings import Settings


@click.group(epilog="Example: paidup plans check plans.toml")
def plans() -> None:
    """What Stripe sells, and what it grants."""


@plans.command(epilog="Example: paidup plans check plans.toml --json")
@click.argument("file", required=False, type=click.Path(path_type=Path))
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
