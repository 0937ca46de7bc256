"""``paidup export``."""

import os
from pathlib import Path

import click

from ops import connections
from ops.export.formats import FORMATS, HEADER_LINES
from ops.export.output_file import open_output, write_lines
from ops.export.tables import EXPORTS
from ops.queries.audit_history import database_now
from ops.terminal.formats import format_count, format_time
from ops.terminal.output import add_options
from ops.terminal.progress import progress
from ops.up.up_file import settings as find_settings

_PLURALS = {"entry": "entries", "movement of money": "movements of money"}

export_options = add_options(
    click.option(
        "--format",
        "chosen",
        type=click.Choice(tuple(FORMATS)),
        default="csv",
        show_default=True,
        help="CSV with a line of names, or one JSON object a line.",
    ),
    click.option(
        "--to",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A new file, readable by its owner. Default: standard output.",
    ),
)


@click.group(epilog="Example: paidup export payments --to payments.csv")
def export() -> None:
    """Write access, payments and the audit log for another program, whole and from one snapshot.

    The columns are those of docs/leaving.md. `paidup events export` writes what Stripe sent.
    """


@export.command(
    "features",
    epilog="Example: paidup export features --format jsonl --to features.jsonl",
    short_help="Write what each user may use now: user, feature, value.",
)
@export_options
def features(*, chosen: str, to: Path | None) -> None:
    """Write what each user may use now: user, feature, value.

    One line for each user and feature, as the view `effective_entitlements` has them.
    `paidup compare --current FILE` reads it.
    """
    _write("features", chosen=chosen, to=to)


@export.command(
    "entitlements",
    epilog="Example: paidup export entitlements --format jsonl --to entitlements.jsonl",
    short_help="Write every grant with its features, ended ones included.",
)
@export_options
def entitlements(*, chosen: str, to: Path | None) -> None:
    """Write every grant with its features, ended ones included.

    One line for each user, source and plan: the features, the time, and why.
    """
    _write("entitlements", chosen=chosen, to=to)


@export.command(
    "payments",
    epilog="Example: paidup export payments --format jsonl --to payments.jsonl",
    short_help="Write every payment, in the smallest unit of its currency.",
)
@export_options
def payments(*, chosen: str, to: Path | None) -> None:
    """Write every payment, in the smallest unit of its currency.

    `decimals` says how many digits of an amount stand behind the point.
    """
    _write("payments", chosen=chosen, to=to)


@export.command(
    "movements",
    epilog="Example: paidup export movements --format jsonl --to movements.jsonl",
    short_help="Write every movement of money: received, refunded, moved.",
)
@export_options
def movements(*, chosen: str, to: Path | None) -> None:
    """Write every movement of money: received, refunded, moved.

    The amounts of a payment are signed and add up to what is left of it.
    """
    _write("movements", chosen=chosen, to=to)


@export.command(
    "audit",
    epilog="Example: paidup export audit --format jsonl --to audit.jsonl",
    short_help="Write the whole audit log, oldest entry first.",
)
@export_options
def audit(*, chosen: str, to: Path | None) -> None:
    """Write the whole audit log, oldest entry first.

    `before` and `after` hold the values that an entry changed.
    """
    _write("audit", chosen=chosen, to=to)


def _write(name: str, *, chosen: str, to: Path | None) -> None:
    table = EXPORTS[name]
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="export") as connection:
        as_of, total = database_now(connection), table.count(connection)
        lines = FORMATS[chosen](table.columns, table.rows(connection))
        with open_output(to) as file, progress("exporting", total) as report:
            number = write_lines(lines, file, report) - HEADER_LINES[chosen]
    counted = format_count(number, table.noun, _PLURALS.get(table.noun))
    click.echo(f"{counted} exported, as of {format_time(as_of)}", err=True)
