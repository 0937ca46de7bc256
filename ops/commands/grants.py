"""``paidup grants``."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from sqlalchemy import Connection

from billing.text import storable
from ops import connections
from ops.errors import CommandFailed
from ops.queries.grants import GrantFilter, list_grants
from ops.queries.lookups import Lookup, describe_missing, look_up_one
from ops.queries.parties import configured_realms
from ops.statements.bulk import (
    MAX_KEY,
    BulkResult,
    BulkRun,
    find_users,
    read_file,
)
from ops.statements.deployment import grants_of
from ops.statements.grants import EndRequest, GrantOperations, GrantRequest, GrantResult
from ops.statements.render import (
    GRANT_COLUMNS,
    PrintGrant,
    print_added,
    print_ended,
    print_grants,
)
from ops.statements.request import UnreadableRequest, read_features, read_period
from ops.statements.times import parse_duration
from ops.statements.users import find_user
from ops.terminal.formats import format_count
from ops.terminal.operator_options import operator_options, require_reason
from ops.terminal.output import (
    add_options,
    json_option,
    limit_option,
    pick_fields,
    print_json,
    print_list,
    print_text,
)
from ops.up.up_file import settings as find_settings
from runtime.idempotency import CallResult, InvalidKey, check_key
from runtime.ledger.deployment import ledger_of
from runtime.ledger.record import Ledger
from runtime.settings import Settings


def _key(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    try:
        return None if given is None else check_key(given)
    except InvalidKey as invalid:
        raise click.BadParameter(str(invalid)) from invalid


key_option = click.option(
    "--idempotency-key",
    "key",
    callback=_key,
    metavar="KEY",
    help="Repeat a call safely: the same key never makes a second grant.",
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show what the user may do then; record nothing."
)


@click.group(epilog="Example: paidup grants list --ending 7d")
def grants() -> None:
    """Give access by hand, with a reason: nothing that Stripe sends ends it."""


@grants.command(
    epilog="Example: paidup grants add usr_123 --plan premium --for 4mo --reason 'outage in May'",
    short_help="Give a user a plan or features.",
)
@click.argument("user", required=False)
@click.option("--plan", "plan_code", metavar="PLAN", help="The plan, by its code.")
@click.option(
    "--feature", "features", multiple=True, metavar="NAME=VALUE", help="A feature without a plan."
)
@add_options(
    click.option("--for", "lasts", metavar="TIME", help="A duration: 12h, 30d, 4w, 4mo, 1y."),
    click.option("--until", metavar="DATE", help="2026-12-31 ends with that day; or a time."),
    click.option("--forever", is_flag=True, help="No end."),
    click.option("--from", "starts", metavar="DATE", help="A later start. Default: now."),
)
@click.option("--test", is_flag=True, help="Count in test mode alone.")
@click.option("--new-user", is_flag=True, help="Allow a user whom nothing has named before.")
@click.option("--new-feature", is_flag=True, help="Allow a feature that no plan has.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Many grants: a CSV file with the columns user, plan, feature, for, until, from, reason.",
)
@click.option("--yes", is_flag=True, help="Do not ask before making the grants of a file.")
@dry_run_option
@key_option
@operator_options
@json_option
def add(user: str | None, *, file: Path | None, **given: Any) -> int:
    """Give USER a plan or features, for a time or for good.

    USER is your id of a user, an id of Stripe or an e-mail address. The grant is a source of its
    own beside what the user pays for. A date without a time ends with that day in PAIDUP_TIME_ZONE.

    With --file, every row is checked before the first grant is made. Options serve as defaults for
    its empty columns. If interrupted, run the same command again: it makes the rest.
    """
    settings = find_settings(os.environ, "DATABASE_URL")
    if (user is None) == (file is None):
        raise click.UsageError("name a user, or give --file")
    if file is not None:
        return _add_file(settings, file, given)
    with as_wrong_use():
        request = _request(settings, user or "", given)
    return _carry_out(
        settings,
        lambda grants_, connection: grants_.add(connection, request, key=given["key"]),
        print_added,
        dry_run=given["dry_run"],
        as_json=given["as_json"],
    )


@grants.command(
    "list",
    epilog="Example: paidup grants list --user usr_123 --all",
    short_help="Show grants, what ends first first.",
)
@click.option("--user", metavar="USER", help="Those of one user.")
@click.option("--ending", metavar="TIME", help="Those in force that end within 7d, 4w ...")
@click.option("--all", "over", is_flag=True, help="Also those that are over or were ended.")
@limit_option("grants")
@json_option
def list_(*, user: str | None, ending: str | None, over: bool, limit: int, as_json: bool) -> None:
    """Show the grants that people made, with who made them and why."""
    settings = find_settings(os.environ, "DATABASE_URL")
    within = None if ending is None else _span(ending)
    with connections.open_snapshot(settings, application="grants") as connection:
        lookup = None if user is None else _look_up(connection, settings, user)
        wanted = GrantFilter(user=lookup.user if lookup else None, ending=within, over=over)
        found, total = list_grants(connection, wanted, limit=limit)
    missing = describe_missing(lookup) if lookup else None
    more = total - len(found)
    print_list(
        "grants",
        found,
        GRANT_COLUMNS,
        as_json=as_json,
        empty=missing or _no_grant(user, ending, over=over),
        notes=[f"{more} more: --limit shows them"] if more else [],
        total=total,
        known=lookup is None or lookup.known,
    )


@grants.command(
    epilog="Example: paidup grants end grant_0f3a --reason 'given by mistake'",
    short_help="End a grant now.",
)
@click.argument("grant")
@dry_run_option
@key_option
@operator_options
@json_option
def end(
    grant: str, *, dry_run: bool, key: str | None, actor: str, reason: str | None, as_json: bool
) -> int:
    """End GRANT now. What else gives its user access stays."""
    settings = find_settings(os.environ, "DATABASE_URL")
    why = require_reason(reason)
    request = EndRequest(id=storable(grant), actor=actor, reason=why)
    return _carry_out(
        settings,
        lambda grants_, connection: grants_.end(connection, request, key=key),
        print_ended,
        dry_run=dry_run,
        as_json=as_json,
    )


def _carry_out(
    settings: Settings,
    call: Callable[[GrantOperations, Connection], CallResult[GrantResult]],
    print_result: PrintGrant,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Record a statement, or only show what would follow, and print the result."""
    with _ledger(settings) as ledger:
        grants_ = grants_of(settings, ledger)
        in_transaction = ledger.try_out if dry_run else ledger.transact
        called = in_transaction(lambda connection: call(grants_, connection))
    if as_json:
        print_json({**called.result.document(), "repeated": called.repeated, "dry_run": dry_run})
        return 0
    print_result(called.result, repeated=called.repeated, dry_run=dry_run)
    return 0


@contextmanager
def _ledger(settings: Settings) -> Iterator[Ledger]:
    with connections.open_database(settings, application="grants") as engine:
        with connections.read_snapshot(engine):
            pass  # An unreachable database fails here, with one sentence for the operator.
        yield ledger_of(settings, engine)


def _add_file(settings: Settings, path: Path, given: dict[str, Any]) -> int:
    """Check every row of a file and show what it would make; make it unless it is a dry run."""
    if [given["lasts"] is not None, given["until"] is not None, given["forever"]].count(True) > 1:
        raise click.UsageError("say how long: one of --for, --until and --forever")
    key = given["key"]
    if key is not None and len(key) > MAX_KEY:
        raise click.UsageError(
            f"--idempotency-key: that of a file has at most {MAX_KEY} characters"
        )
    file = read_file(path, settings, given)
    with connections.open_snapshot(settings, application="grants") as connection:
        file = find_users(connection, configured_realms(settings), path, file)
    with _ledger(settings) as ledger:
        run = BulkRun(
            ledger=ledger, grants=grants_of(settings, ledger), path=path, file=file, key=key
        )
        checked = run.check()
        new = [each.result for each in checked if not each.repeated]
        if new and not given["as_json"]:
            print_grants(new)
        if given["dry_run"]:
            return _report_check(new, len(checked) - len(new), as_json=given["as_json"])
        if new:
            _confirm(len(new), yes=given["yes"], as_json=given["as_json"])
        made = run.make(checked)
    return _report_made(made, as_json=given["as_json"])


def _report_check(new: Sequence[GrantResult], before: int, *, as_json: bool) -> int:
    if as_json:
        would = [each.document() for each in new]
        print_json({"dry_run": True, "would_grant": would, "repeated": before})
    elif before:
        print_text(_made_before(before))
    return 0


def _report_made(made: BulkResult, *, as_json: bool) -> int:
    if as_json:
        counts = pick_fields(made, "made", "repeated", "interrupted")
        grants_ = [each.document() for each in made.grants]
        print_json({"dry_run": False, "grants": grants_, **counts})
    else:
        before = f"; {_made_before(made.repeated)}" if made.repeated else ""
        print_text(f"{format_count(made.made, 'grant')} made{before}")
        if made.interrupted:
            print_text("interrupted: the same command makes the rest")
    return 1 if made.interrupted else 0


def _made_before(number: int) -> str:
    return f"{number} {'was' if number == 1 else 'were'} made before"


def _request(settings: Settings, text: str, given: dict[str, Any]) -> GrantRequest:
    why = require_reason(given["reason"])
    features = read_features(given["features"])
    starts_at, lasts, until = read_period(
        settings.time_zone,
        starts=given["starts"],
        lasts=given["lasts"],
        until=given["until"],
        forever=given["forever"],
    )
    with connections.open_snapshot(settings, application="grants") as connection:
        realms = configured_realms(settings)
        user = find_user(connection, realms, text, new_user=given["new_user"])
    return GrantRequest(
        user_id=user,
        plan_code=given["plan_code"],
        features=features,
        starts_at=starts_at,
        lasts=lasts,
        until=until,
        actor=given["actor"],
        reason=why,
        test=given["test"],
        new_user=given["new_user"],
        new_feature=given["new_feature"],
    )


def _look_up(connection: Connection, settings: Settings, text: str) -> Lookup:
    return look_up_one(connection, configured_realms(settings), storable(text))


def _no_grant(user: str | None, ending: str | None, *, over: bool) -> str:
    if ending is not None:
        return f"no grant in force ends within {ending}"
    if over:
        return "no grant matches"
    words = () if user is None else ("--user", user)
    call = shlex.join(["paidup", "grants", "list", *words, "--all"])
    return f"no grant matches; `{call}` shows those that are over, too"


@contextmanager
def as_wrong_use() -> Iterator[None]:
    """Say of what cannot be read that the command was used wrongly.

    Raises:
        UsageError: what was written is no request.
    """
    try:
        yield
    except UnreadableRequest as error:
        raise click.UsageError(str(error)) from error


def _confirm(number: int, *, yes: bool, as_json: bool) -> None:
    """Ask before making many grants.

    Raises:
        CommandFailed: there is no one to ask, or no preview to decide by.
        Abort: the operator said no.
    """
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        shows = "`--dry-run` shows them"
        raise CommandFailed(f"add --yes to make these grants; {shows}; nothing was granted")
    click.confirm(f"make {format_count(number, 'grant')}?", abort=True, err=True)


def _span(text: str) -> timedelta:
    now = datetime.now(UTC)
    try:
        return parse_duration(text).after(now, ZoneInfo("UTC")) - now
    except ValueError as error:
        raise click.UsageError(f"--ending: {error}") from error
