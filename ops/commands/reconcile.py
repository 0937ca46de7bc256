"""``paidup reconcile``."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click
import sqlalchemy as sa
from click.core import ParameterSource

from models.tables import StripeRun
from ops import connections
from ops.commands.reconcile_runs import list_past, show_run
from ops.reconcile.accounts import accounts_of
from ops.reconcile.course import ComparisonRequest
from ops.reconcile.differences import read_differences
from ops.reconcile.render import EndedRun, in_order, print_ended
from ops.reconcile.run import reconcile_account
from ops.reconcile.scheduled import run_due
from ops.reconcile.servers import Servers, open_servers
from ops.replay.start import logs_on_stderr
from ops.terminal.formats import TimeParam
from ops.terminal.operator_options import operator_options, require_reason
from ops.terminal.output import json_option, limit_option
from ops.terminal.progress import progress
from ops.up.up_file import settings as find_settings
from runtime.parent_watch import PARENT_VARIABLE, end_with_parent, take_parent
from runtime.reconciling import ComparedPart
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.budget import rate_by_default
from runtime.telemetry import configure_logging
from runtime.time_limits import GRACE_SECONDS


@click.group(
    invoke_without_command=True,
    epilog="Example: paidup reconcile --apply --reason 'the endpoint was down'",
)
@click.option("--since", type=TimeParam(), help="Only what is newer: 7d, 2026-11-22.")
@click.option("--all", "every_day", is_flag=True, help="Read days again that agreed twice.")
@click.option(
    "--account", "accounts", multiple=True, metavar="ACCT", help="Only this connected account."
)
@click.option("--rate", type=click.FloatRange(0.01, 100), help="Requests to Stripe a second.")
@click.option("--apply", "applies", is_flag=True, help="Repair what differs.")
@click.option("--user", metavar="USER", help="Compare only the objects of this user.")
@click.option("--customer", metavar="CUSTOMER", help="Compare only those of this customer.")
@click.option("--events-only", "events", is_flag=True, help="Compare events alone.")
@click.option("--objects-only", "objects", is_flag=True, help="Compare objects alone.")
@click.option(
    "--undelivered-only",
    "undelivered",
    is_flag=True,
    help="Compare only the events of 26 hours that Stripe could not deliver.",
)
@click.option("--scheduled", is_flag=True, help="Run what is due by the schedule, as workers do.")
@limit_option("differences")
@operator_options
@json_option
@click.pass_context
def reconcile(
    context: click.Context,
    /,
    *,
    accounts: tuple[str, ...],
    rate: float | None,
    scheduled: bool,
    limit: int,
    as_json: bool,
    **given: Any,
) -> int:
    """Compare with Stripe what is here, and repair what differs.

    Events that never arrived are found and, with --apply, put in as Stripe would have delivered
    them; days that agreed twice are not read again. Then subscriptions, payments and all other
    objects, both ways: what differs is looked at again after a minute and, with --apply, recorded
    as Stripe shows it. Without --apply nothing changes.

    It ends in a statement of agreement. Interrupt it, or kill it: the same command goes on where it
    was. Exits 1 if something differs at the end.
    """
    if context.invoked_subcommand is not None:
        return 0
    settings = find_settings(os.environ, "DATABASE_URL", "REDIS_URL")
    if scheduled:
        _refuse_other_options(context)
        return _run_schedule(settings)
    request = _request(**given)
    chosen = accounts_of(settings, accounts)
    with open_servers(settings, rate=rate) as servers, logs_on_stderr():
        ended = [_run(servers, each, request, rate=rate, limit=limit) for each in chosen]
    print_ended(ended, as_json=as_json)
    return 0 if all(each.agrees for each in ended) else 1


def _refuse_other_options(context: click.Context) -> None:
    """Raise UsageError if more was given than --scheduled, which would be of no effect."""
    given = {
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if given != {"scheduled"}:
        raise click.UsageError("--scheduled takes no other option: the settings say what it does")


def _request(
    *,
    since: datetime | None,
    applies: bool,
    user: str | None,
    customer: str | None,
    actor: str,
    reason: str | None,
    every_day: bool,
    **only: bool,
) -> ComparisonRequest:
    """Return what the options ask for.

    Raises:
        UsageError: they contradict each other, or a reason is missing.
    """
    if user and customer:
        raise click.UsageError("give --user or --customer, not both")
    return ComparisonRequest(
        actor=actor,
        reason=require_reason(reason) if applies else reason,
        parts=_parts(
            [part for part in ComparedPart if only[part]], is_of_one=bool(user or customer)
        ),
        first=since.date() if since else None,
        every_day=every_day,
        user=user,
        customer=customer,
        applies_events=applies,
        applies_objects=applies,
    )


def _parts(named: Sequence[ComparedPart], *, is_of_one: bool) -> tuple[ComparedPart, ...]:
    """Return the parts to compare; Stripe lists no events of one customer.

    Raises:
        UsageError: the events of one customer are wanted, or several parts alone.
    """
    if len(named) > 1:
        raise click.UsageError(f"give one of {', '.join(f'--{part}-only' for part in named)}")
    if is_of_one and named and named[0] is not ComparedPart.OBJECTS:
        raise click.UsageError("--user and --customer compare objects: leave out the other option")
    if named:
        return tuple(named)
    return (ComparedPart.OBJECTS,) if is_of_one else (ComparedPart.EVENTS, ComparedPart.OBJECTS)


def _run_schedule(settings: Settings) -> int:
    if PARENT_VARIABLE in os.environ:
        end_with_parent(take_parent(os.environ), grace_seconds=GRACE_SECONDS)
    configure_logging(sys.stderr, level=settings.log_level)
    with open_servers(settings, rate=None) as servers:
        return run_due(servers)


def _run(
    servers: Servers,
    account: ApiAccount,
    wish: ComparisonRequest,
    *,
    rate: float | None,
    limit: int,
) -> EndedRun:
    printed: set[str] = set()

    def tell(says: str) -> None:
        if says not in printed:
            printed.add(says)
            click.echo(says, err=True)

    wanted = rate or rate_by_default(servers.settings, livemode=account.livemode)
    with progress(f"comparing {account.realm}", None) as report:
        run, statement = reconcile_account(
            servers,
            account,
            wish,
            rate=wanted,
            report=lambda what, number: report(number, what),
            tell=tell,
        )
    with connections.read_snapshot(servers.engine) as connection:
        found = in_order(read_differences(connection, run))
        requests = connection.execute(
            sa.select(StripeRun.requests).where(StripeRun.id == run)
        ).scalar_one()
    return EndedRun(
        run=run,
        requests=requests,
        realm=account.realm,
        says=statement.sentence,
        document=statement.document(),
        differences=found[:limit],
        total=len(found),
    )


reconcile.add_command(list_past)
reconcile.add_command(show_run)
