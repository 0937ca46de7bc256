"""Run `paidup backfill`: the plan of every account, the question, then account after account."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import click
import redis
from sqlalchemy import Engine

from billing.ids import Realm
from ops import connections
from ops.backfill.account_run import AccountRun
from ops.backfill.render import plan_document, print_plan, print_report, report_document
from ops.backfill.report import BackfillReport
from ops.backfill.sampling import SampledPlan
from ops.backfill.stored_report import OpenedRun, last_run, load_report
from ops.backfill.user_links import contradictions
from ops.backfill.users_file import MappedUser, read_users, refuse_lines
from ops.errors import CommandFailed
from ops.terminal.interrupt import Interrupted, Interruption
from ops.terminal.output import Json, print_json
from runtime.ledger import catalogues
from runtime.ledger.deployment import ledger_of
from runtime.ledger.errors import CatalogueMissing
from runtime.ledger.prepare import Scope
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.stripe_api.accounts import ApiAccount
from runtime.stripe_api.budget import LIMITS, RequestBudget, rate_by_default
from runtime.stripe_api.client import StripeApi, make_api
from runtime.time_limits import COMMAND_REDIS_SECONDS

OWN: Final = "own"
EVERY: Final = "all"

Plans = Mapping[Realm, SampledPlan | OpenedRun]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillOptions:
    """The options of the command line; ``rate`` is in requests a second.

    ``account`` is ``own``, ``all``, or the id of a connected account.
    """

    since: datetime | None
    account: str
    users: Path | None
    rate: float | None
    dry_run: bool
    yes: bool
    limit: int
    actor: str
    reason: str
    as_json: bool


def backfill(settings: Settings, options: BackfillOptions) -> int:
    """Plan, ask, read and report. Return the exit code."""
    accounts = chosen_accounts(settings, options.account)
    with _account_runs(settings, accounts, options) as runs:
        try:
            plans = {each.account.realm: each.plan() for each in runs}
        except Interrupted:
            raise CommandFailed("interrupted: nothing was read") from None
        if not options.as_json:
            for realm, planned in plans.items():
                print_plan(realm, planned)
        if options.dry_run:
            if options.as_json:
                print_json({"plans": _documents(plans), "accounts": []})
            return 0
        _ask(options)
        reports = _read(runs, plans, options)
    if options.as_json:
        accounts_read = [report_document(each) for each in reports]
        print_json({"plans": _documents(plans), "accounts": accounts_read})
    whole = len(reports) == len(runs) and all(each.whole for each in reports)
    return 0 if whole else 1


def show_last(settings: Settings, account: str, *, limit: int, as_json: bool) -> int:
    """Print the report of the newest run of each account, as the database is now."""
    realms = [each.realm for each in chosen_accounts(settings, account)]
    with connections.open_snapshot(settings, application="backfill") as connection:
        found = [(realm, last_run(connection, realm)) for realm in realms]
        reports = [
            load_report(connection, realm, run, limit=limit)
            for realm, run in found
            if run is not None
        ]
    if not reports:
        raise CommandFailed("nothing was read yet: `paidup backfill --reason WHY` reads it")
    if as_json:
        print_json({"plans": [], "accounts": [report_document(each) for each in reports]})
    else:
        for report in reports:
            print_report(report)
    return 0


def chosen_accounts(settings: Settings, account: str) -> list[ApiAccount]:
    """Return the accounts that are meant, in the mode of the API key, our own first.

    Raises:
        CommandFailed: there is no API key, the mode does not count, or the account is not listed.
    """
    if settings.stripe_api_key is None:
        raise CommandFailed("STRIPE_API_KEY is not set: only Stripe knows what was sold before")
    own = ApiAccount.own(settings)
    connected = {
        name: ApiAccount(livemode=own.livemode, account=name)
        for name in sorted(settings.connect_accounts)
    }
    if not Scope.of(settings).counts(own.realm):
        raise CommandFailed(
            f"STRIPE_API_KEY is of {own.realm} mode, which PAIDUP_LIVEMODE leaves out"
        )
    if account == OWN:
        return [own]
    if account == EVERY:
        return [own, *connected.values()]
    if account not in connected:
        raise CommandFailed(
            f"{account} is not in PAIDUP_CONNECT_ACCOUNTS: its objects do not count"
        )
    return [connected[account]]


@contextmanager
def _account_runs(
    settings: Settings, accounts: Sequence[ApiAccount], options: BackfillOptions
) -> Iterator[list[AccountRun]]:
    client = make_redis(settings, timeout=COMMAND_REDIS_SECONDS)
    try:
        with connections.open_database(settings, application="backfill") as engine:
            users = _checked_users(engine, [each.realm for each in accounts], options.users)
            interruption = Interruption()
            yield [
                AccountRun(
                    engine=engine,
                    ledger=ledger_of(settings, engine),
                    account=account,
                    make_api=lambda: _budgeted_api(settings, client, options.rate),
                    interruption=interruption,
                    users=users,
                    since=options.since,
                    rate=_rate(settings, account, options.rate),
                    actor=options.actor,
                    reason=options.reason,
                    limit=options.limit,
                )
                for account in accounts
            ]
    finally:
        client.close()


def _budgeted_api(settings: Settings, client: redis.Redis, rate: float | None) -> StripeApi:
    budget = RequestBudget(client, settings, caller="backfill", rate=rate)
    return make_api(settings, budget=budget)


def _rate(settings: Settings, account: ApiAccount, given: float | None) -> float:
    usual = rate_by_default(settings, livemode=account.livemode)
    return min(given or usual, LIMITS[account.livemode])


def _checked_users(
    engine: Engine, realms: Sequence[Realm], path: Path | None
) -> tuple[MappedUser, ...]:
    """Return the lines of the users' file, once every line is found to be possible."""
    users = read_users(path) if path is not None else ()
    with connections.read_snapshot(engine) as connection:
        try:
            catalogues.current_catalogue(connection)
        except CatalogueMissing:
            raise CommandFailed(
                "no plans have been applied yet, so nothing that was sold would grant anything:"
                " `paidup plans draft` drafts some, `paidup plans apply --reason WHY` applies them"
            ) from None
        if path is not None:
            refuse_lines(path, [*contradictions(connection, realms, users)])
    return users


def _ask(options: BackfillOptions) -> None:
    """Ask whether to go on; a pipe and ``--yes`` need no answer.

    Raises:
        Abort: the answer is no.
    """
    if not options.yes and not options.as_json and sys.stdin.isatty():
        click.confirm("\nRead all this now?", default=True, abort=True, err=True)


def _read(
    runs: Sequence[AccountRun], plans: Plans, options: BackfillOptions
) -> list[BackfillReport]:
    """Run account after account until one is interrupted, and print each report."""
    reports: list[BackfillReport] = []
    for each in runs:
        report = each.run(plans[each.account.realm])
        reports.append(report)
        if not options.as_json:
            print_report(report)
        if each.interruption.asked:
            break
    return reports


def _documents(plans: Plans) -> list[dict[str, Json]]:
    return [plan_document(realm, planned) for realm, planned in plans.items()]
