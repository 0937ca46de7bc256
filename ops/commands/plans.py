"""``paidup plans``."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from billing.catalogue import Plan
from billing.errors import InvalidCatalogue
from ops import connections
from ops.errors import CommandFailed
from ops.plans.apply import PlansRollout
from ops.plans.diff import PlansDiff
from ops.plans.draft import undecided_lines, write_draft
from ops.plans.draft_source import draft_of
from ops.plans.lookup_keys import ask_price_keys, print_lookup_keys
from ops.plans.render import diff_document, print_diff
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_count, format_features
from ops.terminal.operator_options import operator_options, require_reason
from ops.terminal.output import (
    Columns,
    json_option,
    limit_option,
    print_json,
    print_rows,
    print_text,
)
from ops.terminal.progress import progress
from ops.up.up_file import settings as find_settings
from runtime.ledger import catalogues
from runtime.ledger.maintenance import scan
from runtime.ledger.maintenance.archive_updates import count_updates
from runtime.plans_file import read_plans, read_plans_text
from runtime.settings import Settings

file_argument = click.argument("file", required=False, type=click.Path(path_type=Path))


@click.group(epilog="Example: paidup plans check plans.toml")
def plans() -> None:
    """Check, preview and apply plans: which price grants which features."""


@plans.command(
    epilog="Example: paidup plans check plans.toml --json",
    short_help="Name every mistake of a plans document.",
)
@file_argument
@json_option
def check(file: Path | None, *, as_json: bool) -> int:
    """Check a plans document and name every mistake (default: PAIDUP_PLANS).

    Reads only the file: it needs no server. It says which names may be lookup keys, as no file
    tells on which prices they stand: `plans apply` asks Stripe if there is a STRIPE_API_KEY.
    """
    settings = Settings.from_env(os.environ)
    path = file or settings.plans_path
    problems: Sequence[str] = ()
    found: Sequence[Plan] = ()
    keys: Sequence[str] = ()
    try:
        catalogue = read_plans(path)
        found, keys = catalogue.plans, catalogue.names_besides_prices()
    except InvalidCatalogue as error:
        problems = error.problems
    if as_json:
        listed = {"plans": [plan.code for plan in found], "lookup_keys": keys}
        stated = {} if problems else listed
        print_json({"file": str(path), "ok": not problems, "problems": problems, **stated})
    elif problems:
        click.echo("\n".join(f"{path}: {problem}" for problem in problems), err=True)
    else:
        print_rows(_PLAN_COLUMNS, found)
        click.echo(f"{path}: valid")
        _print_undecided(undecided_lines(path.read_text()))
        print_lookup_keys(settings, keys)
    return 1 if problems else 0


def _print_undecided(lines: Sequence[int]) -> None:
    if lines:
        where = f"the first is line {lines[0]}"
        counted = format_count(len(lines), "line")
        click.echo(f"{counted} with DECIDE, {where}: what stands there counts until you change it")


@plans.command(
    epilog="Example: paidup plans draft --output plans.toml",
    short_help="Draft a plans document from what Stripe sells.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("plans.toml"),
    show_default=True,
    help="File to write, which must not exist; - is standard output.",
)
@json_option
def draft(output: Path, *, as_json: bool) -> int:
    """Draft a plans document from Stripe's products, prices and features.

    It needs a STRIPE_API_KEY that may read products, prices, subscriptions and entitlements, and no
    database. Each product becomes a plan. A comment says where you have to decide: what a feature
    is worth, how long access lasts while a renewal is unpaid, and how long a purchase lasts.
    """
    settings = find_settings(os.environ)
    if not _is_standard_output(output) and output.exists():
        raise CommandFailed(f"{output} exists: name another file by --output; nothing was written")
    if settings.stripe_api_key is None:
        raise CommandFailed(
            "STRIPE_API_KEY is not set: set it to a restricted key, which reads what you sell"
        )
    source = draft_of(settings)
    written = write_draft(source.products, left_out=source.left_out)
    read_plans_text(written)
    if _is_standard_output(output):
        click.echo(written, nl=False)
        return 0
    with output.open("x", encoding="utf-8") as file:
        file.write(written)
    count = len(source.products)
    if as_json:
        print_json({"file": str(output), "plans": count, "left_out": source.left_out})
    else:
        then = f"decide where it says DECIDE, then `paidup plans check {output}`"
        print_text(with_command_name(f"{output}: {format_count(count, 'plan')} drafted; {then}"))
    return 0


def _is_standard_output(output: Path) -> bool:
    return str(output) == "-"


@plans.command(
    epilog="Example: paidup plans diff plans.toml --limit 500 --json",
    short_help="Show whose access a document would change.",
)
@file_argument
@limit_option("users")
@json_option
def diff(file: Path | None, *, limit: int, as_json: bool) -> int:
    """Show whose access a plans document would change (default: PAIDUP_PLANS).

    Compute every user's access under the new plans and compare it with today's. Read-only. Also
    lists purchases whose plan changes, purchases that had ended and would begin again, and prices
    that users pay for but no plan has.
    """
    return _diff(find_settings(os.environ, "DATABASE_URL"), file, limit=limit, as_json=as_json)


@plans.command(
    epilog='Example: paidup plans apply plans.toml --reason "price_premium_weekly"',
    short_help="Make a document the catalogue of record.",
)
@file_argument
@click.option("--dry-run", is_flag=True, help="Show what would change, as diff does.")
@click.option("--resume", is_flag=True, help="Continue an interrupted apply.")
@click.option("--revive", is_flag=True, help="Allow purchases that had ended to begin again.")
@limit_option("users")
@operator_options
@json_option
def apply(
    file: Path | None,
    *,
    dry_run: bool,
    resume: bool,
    revive: bool,
    limit: int,
    actor: str,
    reason: str | None,
    as_json: bool,
) -> int:
    """Make a plans document the catalogue of record (default: PAIDUP_PLANS).

    All workers switch to it at once, even if their own file differs; then every user's access is
    recomputed. Refused if a purchase that had ended would begin again, unless you give --revive.
    If interrupted, run the same command or --resume. Exits 1 if some users still have access under
    older plans.
    """
    if resume and (file or dry_run or revive):
        raise click.UsageError("--resume continues with the plans of record: give it alone")
    settings = find_settings(os.environ, "DATABASE_URL")
    if dry_run:
        return _diff(settings, file, limit=limit, as_json=as_json)
    applied = None if resume else file or settings.plans_path
    if applied is not None:
        require_reason(reason)
    price_keys = ask_price_keys(settings, read_plans(applied)) if applied else {}
    with connections.open_database(settings, application="plans apply") as engine:
        with connections.read_snapshot(engine):
            pass  # An unreachable database fails here, with one sentence for the operator.
        return PlansRollout(
            engine=engine,
            actor=actor,
            reason=reason,
            as_json=as_json,
            file=applied,
            price_keys=price_keys,
            revive=revive,
        ).run()


def _diff(settings: Settings, file: Path | None, *, limit: int, as_json: bool) -> int:
    """Print what the document would change. Return the exit code."""
    path = file or settings.plans_path
    plans = read_plans(path)
    plans = plans.with_price_keys(ask_price_keys(settings, plans))
    with connections.open_database(settings, application="plans diff") as engine:
        with connections.read_snapshot(engine) as connection:
            record = catalogues.current_catalogue(connection)
            same = not catalogues.differs(connection, plans)
            total = scan.count_projected(connection)
        found = PlansDiff(catalogue=record.succeeded_by(plans), limit=limit)
        with progress("previewing", total) as report:
            for parties in scan.pages(engine, scan.projected_parties):
                found.add_parties(engine, parties)
                report(found.parties)
        with connections.read_snapshot(engine) as connection:
            shown = list(found.shown(connection))
            found.updating, _ = count_updates(connection)
    if as_json:
        print_json(diff_document(path, record.version, found, shown, same=same))
    else:
        print_diff(path, record.version, found, shown, same=same)
    return 0


_PLAN_COLUMNS: Columns[Plan] = {
    "plan": lambda plan: plan.code,
    "prices": lambda plan: ", ".join(plan.prices),
    "features": lambda plan: format_features(plan.features),
    "grace days": lambda plan: plan.grace_days,
}
