"""The options ``--as`` and ``--reason`` of every command that changes data."""

import getpass
from contextlib import suppress
from typing import Final

import click

from billing.text import storable
from ops.terminal.output import add_options

MAX_CHARACTERS: Final = 500


def _actor(_context: click.Context, _option: click.Parameter, given: str | None) -> str:
    if given is None:
        return current_operator()
    return operator_name(_checked(given))


def _text(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    return None if given is None else _checked(given)


def _checked(given: str) -> str:
    text = storable(given).strip()
    if not text or len(text) > MAX_CHARACTERS:
        raise click.BadParameter(f"write 1 to {MAX_CHARACTERS} characters")
    return text


operator_options = add_options(
    click.option(
        "--as",
        "actor",
        callback=_actor,
        metavar="NAME",
        help="Operator name for the audit log. Default: your login name.",
    ),
    click.option("--reason", callback=_text, help="Reason for the audit log."),
)
"""Options that the audit log stores verbatim."""


def require_reason(reason: str | None) -> str:
    """Return the reason.

    Raises:
        UsageError: no reason was given.
    """
    if not reason:
        raise click.UsageError("--reason is missing: give the reason for the audit log")
    return reason


def current_operator() -> str:
    """Return the login name, or ``unknown``: in containers a user often has no name."""
    with suppress(OSError, KeyError, ImportError):
        return operator_name(getpass.getuser())
    return operator_name("unknown")


def operator_name(name: str) -> str:
    """Return the actor name that the audit log stores for an operator."""
    return f"cli:{name}"
