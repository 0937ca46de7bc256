"""Who asks for something to be done and why: options of every command that changes the books."""

import getpass
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import click

from billing.text import storable

_LONGEST: Final = 500

F = TypeVar("F", bound=Callable[..., Any])


def answerable(command: F) -> F:
    """``--as`` and ``--reason``, which go into the audit word for word."""
    who = click.option(
        "--as",
        "actor",
        callback=_actor,
        metavar="NAME",
        help="Who is answerable. Default: your login name.",
    )
    why = click.option("--reason", callback=_text, help="Why, for the audit.")
    return who(why(command))


def reason_given(reason: str | None) -> str:
    """The reason.

    Raises:
        UsageError: there is none.
    """
    if not reason:
        raise click.UsageError("--reason is missing: say why, in words that an auditor understands")
    return reason


def _actor(_context: click.Context, _option: click.Parameter, given: str | None) -> str:
    if given is None:
        return operator()
    return named(_said(given))


def _text(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    return None if given is None else _said(given)


def _said(given: str) -> str:
    text = storable(given).strip()
    if not text or len(text) > _LONGEST:
        raise click.BadParameter(f"write 1 to {_LONGEST} characters")
    return text


def operator() -> str:
    """The login name, or its number where it has no name (in containers it often has none)."""
    with suppress(OSError, KeyError, ImportError):
        return named(getpass.getuser())
    return named("unknown")


def named(name: str) -> str:
    """A person as the audit names one who used the command line."""
    return f"cli:{name}"
