"""``paidup links``."""

import os
import shlex
from collections.abc import Callable

import click
from sqlalchemy import Connection

from billing.text import storable
from ops import connections
from ops.commands.grants import as_wrong_use, key_option
from ops.queries.links import list_links, list_waiting
from ops.queries.parties import configured_realms
from ops.statements.deployment import links_of
from ops.statements.grants import EndRequest
from ops.statements.link_render import (
    LINK_COLUMNS,
    WAITING_COLUMNS,
    PrintLink,
    print_added,
    print_ended,
)
from ops.statements.links import LinkOperations, LinkRequest, LinkResult
from ops.statements.users import find_user
from ops.terminal.operator_options import operator_options, require_reason
from ops.terminal.output import json_option, limit_option, print_json, print_list
from ops.up.up_file import settings as find_settings
from runtime.idempotency import CallResult
from runtime.ledger.deployment import ledger_of
from runtime.settings import Settings

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show what would move and stay; record nothing."
)


@click.group(epilog="Example: paidup links waiting")
def links() -> None:
    """Say whose a purchase or a customer is, with a reason, and see what waits for a user."""


@links.command(
    epilog="Example: paidup links add cs_live_1Abc usr_123 --reason 'bought before signing up'",
    short_help="Say that an object or a customer is of a user.",
)
@click.argument("target")
@click.argument("user")
@click.option("--new-user", is_flag=True, help="Allow a user whom nothing has named before.")
@dry_run_option
@key_option
@operator_options
@json_option
def add(
    target: str,
    user: str,
    *,
    new_user: bool,
    dry_run: bool,
    key: str | None,
    actor: str,
    reason: str | None,
    as_json: bool,
) -> int:
    """Say that TARGET is of USER.

    USER is your id of a user; an id of Stripe or an e-mail address means the user behind it.
    TARGET is a subscription, payment, checkout, invoice or customer (sub_, pi_, ch_, cs_, in_,
    cus_) that an event has named. What the object gives and its money move; everything else of its
    customer stays. A link of a customer leaves what was stated for other users.
    """
    settings = find_settings(os.environ, "DATABASE_URL")
    why = require_reason(reason)
    with connections.open_snapshot(settings, application="links") as connection, as_wrong_use():
        named = find_user(connection, configured_realms(settings), user, new_user=new_user)
    request = LinkRequest(
        target=storable(target).strip(),
        user_id=named,
        actor=actor,
        reason=why,
        new_user=new_user,
    )
    return _carry_out(
        settings,
        lambda links_, connection: links_.add(connection, request, key=key),
        print_added,
        dry_run=dry_run,
        as_json=as_json,
    )


@links.command(
    "list",
    epilog="Example: paidup links list --user usr_123 --all",
    short_help="Show links, the newest first.",
)
@click.option("--user", metavar="USER", help="Those to one user, by your own id.")
@click.option("--target", metavar="ID", help="Those of one object or customer.")
@click.option("--all", "ended", is_flag=True, help="Also those that were taken back.")
@limit_option("links")
@json_option
def list_(*, user: str | None, target: str | None, ended: bool, limit: int, as_json: bool) -> None:
    """Show the links that people made, with who made them and why."""
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="links") as connection:
        found, total = list_links(
            connection,
            user=user and storable(user),
            target=target and storable(target),
            ended=ended,
            limit=limit,
        )
    more = total - len(found)
    print_list(
        "links",
        found,
        LINK_COLUMNS,
        as_json=as_json,
        empty="no link matches" if ended else f"no link matches; {_with_ended(user, target)}",
        notes=[f"{more} more: --limit shows them"] if more else [],
        total=total,
    )


@links.command(
    epilog="Example: paidup links end link_0f3a --reason 'wrong user'",
    short_help="Take a link back.",
)
@click.argument("link")
@dry_run_option
@key_option
@operator_options
@json_option
def end(
    link: str, *, dry_run: bool, key: str | None, actor: str, reason: str | None, as_json: bool
) -> int:
    """Take LINK back, as if it had never been made."""
    settings = find_settings(os.environ, "DATABASE_URL")
    request = EndRequest(id=storable(link), actor=actor, reason=require_reason(reason))
    return _carry_out(
        settings,
        lambda links_, connection: links_.end(connection, request, key=key),
        print_ended,
        dry_run=dry_run,
        as_json=as_json,
    )


@links.command(
    epilog="Example: paidup links waiting --limit 20",
    short_help="Show what waits for a user, the oldest first.",
)
@limit_option("sources and payments")
@json_option
def waiting(*, limit: int, as_json: bool) -> None:
    """Show subscriptions, purchases and payments that have no user, with whose they may be.

    A candidate was named under the same customer, by a checkout of a payment link, or has another
    customer with the same e-mail address.
    """
    settings = find_settings(os.environ, "DATABASE_URL")
    with connections.open_snapshot(settings, application="links") as connection:
        found, total, parties = list_waiting(connection, limit=limit)
    more = total - len(found)
    print_list(
        "waiting",
        found,
        WAITING_COLUMNS,
        as_json=as_json,
        empty="nothing waits for a user",
        notes=[
            *([f"{more} more: --limit shows them"] if more else []),
            *([_HOW_TO_LINK] if found else []),
        ],
        total=total,
        parties=parties,
    )


def _with_ended(user: str | None, target: str | None) -> str:
    chosen = {"--user": user, "--target": target}
    words = [word for name, value in chosen.items() if value for word in (name, value)]
    call = shlex.join(["paidup", "links", "list", *words, "--all"])
    return f"`{call}` shows those taken back, too"


_HOW_TO_LINK = (
    "`paidup links add ID USER --reason WHY` says whose it is; the id of a customer claims all that"
    " waits under it"
)


def _carry_out(
    settings: Settings,
    call: Callable[[LinkOperations, Connection], CallResult[LinkResult]],
    print_result: PrintLink,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Record a statement, or only show what would follow, and print the result."""
    called = _call(settings, call, dry_run=dry_run)
    if as_json:
        print_json({**called.result.document(), "repeated": called.repeated, "dry_run": dry_run})
    else:
        print_result(called.result, repeated=called.repeated, dry_run=dry_run)
    return 0


def _call(
    settings: Settings,
    call: Callable[[LinkOperations, Connection], CallResult[LinkResult]],
    *,
    dry_run: bool,
) -> CallResult[LinkResult]:
    with connections.open_database(settings, application="links") as engine:
        with connections.read_snapshot(engine):
            pass  # An unreachable database fails here, with one sentence for the operator.
        ledger = ledger_of(settings, engine)
        links_ = links_of(settings, ledger, at_once=dry_run)
        in_transaction = ledger.try_out if dry_run else ledger.transact
        return in_transaction(lambda connection: call(links_, connection))
