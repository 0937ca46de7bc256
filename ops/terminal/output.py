"""Print tables, sentences and JSON; nothing is cut off, and nothing odd reaches a terminal.

User ids and feature names come from fields that Stripe's customers can fill in. Control characters
are therefore escaped before printing: an escape sequence in a name must not repaint the screen.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Columns = Mapping[str, Callable[[T], object]]
"""A title for each column, and the cell it takes from a row."""


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def add_options(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return the decorator that adds all of these options, in this order."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def limit_option(listed: str) -> Callable[[F], F]:
    """Return ``--limit`` of a command that counts everything and lists a part of it."""
    return click.option(
        "--limit",
        type=click.IntRange(0, 1_000_000),
        default=50,
        show_default=True,
        help=f"Number of {listed} to list; all are counted.",
    )


_WIDEST = 10_000  # columns


def printable(value: object) -> str:
    """Return the value as text with control characters escaped; an empty value is ``-``."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in str(value)
    )


def print_list(
    name: str,
    rows: Sequence[T],
    columns: Columns[T],
    *,
    as_json: bool,
    empty: str | None,
    notes: Iterable[str] = (),
    row_document: Callable[[T], Json] | None = None,
    **fields: Json,
) -> None:
    """Print rows as a table with notes below, or as one JSON document.

    The document holds the rows under ``name``, whole or as ``row_document`` returns them, and
    ``fields`` beside them. ``empty`` is the sentence for an empty table; None prints none.
    """
    if as_json:
        print_json({name: [(row_document or to_json)(row) for row in rows], **fields})
        return
    if rows:
        print_rows(columns, rows)
    elif empty is not None:
        print_text(empty)
    for note in notes:
        print_text(note, style="dim")


def print_rows(
    columns: Columns[T],
    rows: Collection[T],
    *,
    style: Callable[[T], str] = lambda _: "",
    title: str | None = None,
) -> None:
    """Print a table with one line for each row, in the row's style on a terminal.

    A table with a title is left out if it has no rows.
    """
    if title is not None:
        if not rows:
            return
        print_text(f"\n{title}", style="bold")
    drawn = make_table(columns, ([cell(row) for cell in columns.values()] for row in rows))
    for line, row in zip(drawn.rows, rows, strict=True):
        line.style = style(row)
    print_table(drawn)


def make_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> "Table":
    """Return a table without a frame; a narrow terminal folds cells and never shortens them."""
    from rich.table import Table  # noqa: PLC0415 - see ops.terminal.output.console
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        drawn.add_column(column, overflow="fold", header_style="dim")
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    return drawn


def key_values(pairs: Iterable[tuple[str, object]]) -> "Table":
    """Return a table of names and values, one pair a line."""
    drawn = make_table(("", ""), pairs)
    drawn.show_header = False
    drawn.columns[0].style = "dim"
    drawn.columns[0].no_wrap = True
    return drawn


def print_table(drawn: "Table") -> None:
    """Print a table; in a pipe every row is one line, however long."""
    screen = console()
    if screen.is_terminal:
        screen.print(drawn)
        return
    wide = screen.options.update(max_width=_WIDEST)
    screen.width = max(screen.width, screen.measure(drawn, options=wide).maximum)
    with screen.capture() as captured:
        screen.print(drawn)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def print_text(text: str, *, style: str = "", indent: int = 0) -> None:
    """Print text without breaking its lines."""
    from rich.text import Text  # noqa: PLC0415 - see ops.terminal.output.console

    lines = (" " * indent + printable(line) if line else "" for line in text.split("\n"))
    console().print(Text("\n".join(lines), style=style), soft_wrap=True)


def print_section(title: str, sentences: Iterable[str]) -> None:
    """Print sentences that need attention, under a title; nothing if there are none."""
    sentences = list(sentences)
    if sentences:
        print_text(f"\n{title}", style="bold yellow")
    for sentence in sentences:
        print_text(sentence, indent=2)


def to_json(value: object) -> Json:
    """Return the value in types that JSON has; times are ISO 8601, dataclasses are objects."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case _ if is_dataclass(value) and not isinstance(value, type):
            return pick_fields(value, *(each.name for each in fields(value)))
        case Mapping():
            return {str(name): to_json(each) for name, each in value.items()}
        case Iterable():
            return [to_json(each) for each in value]
        case _:
            return str(value)


def pick_fields(value: object, *names: str) -> dict[str, Json]:
    """Return these attributes of a value in types that JSON has."""
    return {name: to_json(getattr(value, name)) for name in names}


def print_json(document: Json) -> None:
    """Print one JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def console(*, stderr: bool = False, width: int = 160) -> "Console":
    """Return the console: plain text of this width unless it is a terminal."""
    from rich.console import Console  # noqa: PLC0415 - rich takes longer than most commands

    terminal = Console(stderr=stderr, highlight=False)
    return (
        terminal if terminal.is_terminal else Console(stderr=stderr, highlight=False, width=width)
    )
