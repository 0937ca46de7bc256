"""Print links, what moves by one, and what waits for a user."""

from typing import Protocol

from ops.queries.links import ListedLink, WaitingSource
from ops.statements.links import LinkResult, MovedMoney
from ops.statements.render import done_words
from ops.terminal.command_name import with_command_name
from ops.terminal.formats import format_time
from ops.terminal.money import format_money
from ops.terminal.output import Columns, print_text, printable

LINK_COLUMNS: Columns[ListedLink] = {
    "link": lambda each: each.link,
    "target": lambda each: each.target,
    "user": lambda each: each.user_id,
    "state": lambda each: "taken back" if each.ended_at else "stands",
    "since": lambda each: format_time(each.ended_at or each.made_at),
    "by": lambda each: each.ended_by or each.actor,
    "reason": lambda each: each.end_reason or each.reason,
}

WAITING_COLUMNS: Columns[WaitingSource] = {
    "waits": lambda each: each.target if each.realm == "live" else f"{each.target} ({each.realm})",
    "since": lambda each: format_time(each.since),
    "customer": lambda each: each.customer,
    "e-mail": lambda each: ", ".join(each.emails),
    "may be of": lambda each: "; ".join(f"{one.user_id} ({one.why})" for one in each.candidates),
}


class PrintLink(Protocol):
    """Prints a link that was made or taken back, or would be."""

    def __call__(self, result: LinkResult, *, repeated: bool, dry_run: bool) -> None:
        """Print it; ``repeated`` if an earlier call did it."""


def print_added(result: LinkResult, *, repeated: bool, dry_run: bool) -> None:
    """Print a link that was made, or would be, with what moves and what stays."""
    done = done_words("linked", repeated=repeated, dry_run=dry_run)
    # A link that was not made has no id that could be taken back.
    link = "" if dry_run and not repeated else f" by {result.link}"
    print_text(f"{done} {_pair(result)}{link}")
    _print_moves(result)


def print_ended(result: LinkResult, *, repeated: bool, dry_run: bool) -> None:
    """Print a link that was taken back, or would be, with what moves and what stays."""
    done = done_words("taken back" if dry_run else "took back", repeated=repeated, dry_run=dry_run)
    print_text(f"{done} {result.link}, which linked {_pair(result)}")
    _print_moves(result)


def _pair(result: LinkResult) -> str:
    return f"{printable(result.target)} to {printable(result.user_id)}"


def _print_moves(result: LinkResult) -> None:
    for access in result.access:
        plan = f"plan {printable(access.plan_code)} from {access.source}"
        print_text(f"{printable(access.user_id)} {access.change} {plan}", indent=2)
    for money in result.money:
        print_text(_booked(money), indent=2)
    if not (result.access or result.money or result.more_follows):
        print_text("nothing moves", indent=2)
    for stays in result.stays:
        plan = f"plan {printable(stays.plan_code)} from {stays.source}"
        print_text(f"stays: {printable(stays.user_id)} has {plan}", indent=2)
    if result.more_follows:
        print_text(with_command_name(_MORE_FOLLOWS), indent=2)


_MORE_FOLLOWS = (
    "the customer has many old payments, which follow in steps: `paidup status` says how much is"
    " left, `paidup changes --user USER` what has moved"
)


def _booked(money: MovedMoney) -> str:
    moved = f"{format_money(abs(money.amount_minor), money.currency)} of {money.payment_ref}"
    booked = "booked" if money.amount_minor > 0 else "no longer booked"
    owner = f"for {printable(money.user_id)}" if money.user_id else "without a user"
    return f"{moved} is {booked} {owner}"
