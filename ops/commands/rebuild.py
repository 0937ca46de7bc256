"""``paidup rebuild``."""

import os
from typing import Any

import click

from billing.text import storable
from ops.rebuild.run import Wish
from ops.rebuild.run import rebuild as carry_out
from ops.terminal.operator_options import answerable, reason_given
from ops.terminal.output import json_option
from ops.up.up_file import settings as find_settings


@click.command(epilog="Example: paidup rebuild usr_123 --dry-run")
@click.argument("users", nargs=-1, metavar="[USER]...")
@click.option("--all", "everything", is_flag=True, help="Everybody's rows, and rows of nobody.")
@click.option(
    "--from-events",
    is_flag=True,
    help="Read the events' bodies again first; with --all also those that stated nothing.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option(
    "--limit",
    type=click.IntRange(0, 1_000_000),
    default=50,
    show_default=True,
    help="Rows and grants to show one by one; all are counted.",
)
@answerable
@json_option
def rebuild(*, users: tuple[str, ...], everything: bool, **wished: Any) -> int:
    """Compute entitlements, payments and all other rows again from the facts that are kept.

    Where nothing was altered nothing changes. What differs is put right and audited; money is
    booked so that every history sums to its payment again. Safe to break off, to run again, and
    to run while workers work. Exit code 1 if something could not be computed or read.
    """
    if bool(users) == everything:
        raise click.UsageError("name users, or give --all: one of the two")
    settings = find_settings(os.environ, "DATABASE_URL")
    if not wished["dry_run"]:
        reason_given(wished["reason"])
    named = tuple(dict.fromkeys(map(storable, users)))
    return carry_out(settings, Wish(users=named, **wished))
