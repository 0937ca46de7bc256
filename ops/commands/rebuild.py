"""``paidup rebuild``."""

import os
from typing import Any

import click

from billing.text import storable
from ops.rebuild.outdated import read_outdated
from ops.rebuild.run import RebuildOptions
from ops.rebuild.run import rebuild as run_rebuild
from ops.terminal.operator_options import operator_options, require_reason
from ops.terminal.output import json_option, limit_option
from ops.up.up_file import settings as find_settings


@click.command(epilog="Example: paidup rebuild usr_123 --dry-run")
@click.argument("users", nargs=-1, metavar="[USER]...")
@click.option("--all", "everything", is_flag=True, help="All rows, also those without a user.")
@click.option(
    "--outdated", is_flag=True, help="Only read again what an earlier release read; workers do too."
)
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@limit_option("rows and grants")
@operator_options
@json_option
def rebuild(*, users: tuple[str, ...], everything: bool, outdated: bool, **options: Any) -> int:
    """Recompute entitlements, payments and all other rows from the stored facts.

    USER is your id of a user, an id of Stripe or an e-mail address. A customer that has no user yet
    is recomputed, too.

    Rows that are right stay as they are. Rows that differ are corrected and audited, and payment
    events are added so that they sum to their payment. It is safe to interrupt, to run again, and
    to run beside workers. Exits 1 if a customer could not be recomputed.
    """
    if [bool(users), everything, outdated].count(True) != 1:
        raise click.UsageError("name users, or give --all, or --outdated: one of the three")
    if outdated and options["dry_run"]:
        raise click.UsageError("--outdated has no --dry-run: `paidup rebuild --all --dry-run`")
    settings = find_settings(os.environ, "DATABASE_URL")
    if outdated:
        return read_outdated(settings, as_json=options["as_json"])
    if not options["dry_run"]:
        require_reason(options["reason"])
    named = tuple(dict.fromkeys(map(storable, users)))
    return run_rebuild(settings, RebuildOptions(users=named, **options))
