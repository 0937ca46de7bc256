"""``paidup backfill``."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from ops.terminal.formats import TimeParam
from ops.terminal.operator_options import operator_options, require_reason
from ops.terminal.output import json_option, limit_option
from ops.up.up_file import settings as find_settings


def _start_of_day(
    _context: click.Context, _option: click.Parameter, given: datetime | None
) -> datetime | None:
    """Return the start of the day in UTC: the same command on the same day asks for the same."""
    if given is None:
        return None
    return given.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@click.command(epilog="Example: paidup backfill --users map.csv --reason 'moving to Paidup'")
@click.option(
    "--since",
    type=TimeParam(),
    callback=_start_of_day,
    metavar="DATE",
    help="Leave out bills of subscriptions, and their payments, from before this day.",
)
@click.option(
    "--account",
    default="all",
    show_default=True,
    metavar="acct_...|own|all",
    help="A connected account, your own, or all.",
)
@click.option(
    "--users",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="CSV",
    help="File of customer,user: which customer is which user.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 100),
    metavar="N",
    help="Requests a second. Default: PAIDUP_STRIPE_REQUESTS_PER_SECOND.",
)
@click.option("--dry-run", "--plan", is_flag=True, help="Print the plan; store nothing.")
@click.option("--yes", is_flag=True, help="Do not ask whether to begin.")
@click.option("--report", is_flag=True, help="Print the report of the last run again.")
@limit_option("customers without a user")
@operator_options
@json_option
def backfill(
    *,
    since: datetime | None,
    account: str,
    users: Path | None,
    rate: float | None,
    dry_run: bool,
    yes: bool,
    report: bool,
    limit: int,
    actor: str,
    reason: str | None,
    as_json: bool,
) -> int:
    """Read from Stripe what was sold before Paidup heard of it.

    Customers, subscriptions, checkouts, invoices, payments, refunds, disputes, credit notes and
    entitlements are read as Stripe's API shows them now, by the mode of STRIPE_API_KEY. First comes
    the plan: how much there is, how long it takes. Purchases are read from the first day.

    It is safe to interrupt, to kill, to run again and to run beside webhooks: the same command
    goes on where it stopped. Exits 1 if a part was not read.
    """
    settings = find_settings(os.environ, "DATABASE_URL", "REDIS_URL")
    # Only a command that asks Stripe needs its library, which is large.
    from ops.backfill.run import BackfillOptions, show_last  # noqa: PLC0415
    from ops.backfill.run import backfill as run_backfill  # noqa: PLC0415

    if report:
        return show_last(settings, account, limit=limit, as_json=as_json)
    options = BackfillOptions(
        since=since,
        account=account,
        users=users,
        rate=rate,
        dry_run=dry_run,
        yes=yes,
        limit=limit,
        actor=actor,
        reason="plan only" if dry_run else require_reason(reason),
        as_json=as_json,
    )
    return run_backfill(settings, options)
