"""How commands print: rich for people, JSON for programs, and the same facts in both."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def emit_json(document: Json) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def console() -> "Console":
    """Where rich prints: plain and unwrapped text when nobody looks."""
    from rich.console import Console  # noqa: PLC0415 - rich takes longer than most commands

    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=160)
