"""Print tables, sentences and JSON; nothing is cut off, and nothing odd reaches a terminal.

A pipe gets plain text with one line for each row. A terminal gets the same as a table where it is
wide enough for every word, else one block for each record.

User ids and feature names come from fields that Stripe's customers can fill in. Control characters
are therefore escaped before printing: an escape sequence in a name must not repaint the screen.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ops.terminal.command_name import call_by_name, with_command_name

if TYPE_CHECKING:
    from rich.console import Console


Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Columns = Mapping[str, Callable[[T], object]]
"""A title for each column, and the cell it takes from a row."""

SENTENCES: Final = frozenset(
    (
        *(
            "because",
            "breaker",
            "ends",
            "failed",
            "in_inbox",
            "inbox_error",
            "inbox_unavailable",
            "says",
        ),
        *("unavailable", "waiting", "without_effect"),
    )
)
"""Fields of JSON documents that hold sentences of Paidup; all other text is data, kept exact."""

DATA: Final = frozenset(("after", "before", "changes", "details", "facts", "payload"))
"""Fields that hold what Stripe or an operator said, with all fields inside them."""

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


def printable(value: object) -> str:
    """Return the value as text with control characters escaped; an empty value is ``-``."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in str(value)
    )


def printable_lines(text: str) -> str:
    """Return text of several lines with all other control characters escaped."""
    return "\n".join(printable(line) if line else "" for line in text.split("\n"))


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
    in_blocks = bool(rows) and print_rows(columns, rows)
    if not rows and empty is not None:
        print_text(with_command_name(empty))
    if in_blocks and (notes := list(notes)):
        print_text("")
    for note in notes:
        print_text(with_command_name(note), style="dim")


def print_rows(
    columns: Columns[T],
    rows: Collection[T],
    *,
    style: Callable[[T], str] = lambda _: "",
    title: str | None = None,
) -> bool:
    """Print rows as a table or as blocks, in the row's style on a terminal.

    A table with a title is left out if it has no rows. Return whether blocks were printed.
    """
    if title is not None:
        if not rows:
            return False
        print_text(f"\n{title}", style="bold")
    cells = [[printable(cell(row)) for cell in columns.values()] for row in rows]
    return print_cells(list(columns), cells, styles=[style(row) for row in rows])


def print_cells(
    names: Sequence[str], rows: Sequence[Sequence[str]], *, styles: Sequence[str]
) -> bool:
    """Print cells below the names of their columns, each row in its style.

    Return whether blocks were printed.
    """
    from ops.terminal import layout  # noqa: PLC0415 - see ops.terminal.output.console

    screen = console()
    if not screen.is_terminal:
        for line in layout.aligned_lines([names, *rows]):
            click.echo(line)
        return False
    narrow = screen.width < layout.NARROW
    widths = None if narrow else layout.column_widths([names, *rows], screen.width)
    if widths is None:
        _print_blocks(screen, names, rows, styles)
    else:
        _print_table(screen, dict(zip(names, widths, strict=True)), rows, styles)
    return widths is None


def _print_table(
    screen: "Console",
    columns: Mapping[str, int],
    rows: Sequence[Sequence[str]],
    styles: Sequence[str],
) -> None:
    from rich.table import Table  # noqa: PLC0415 - see ops.terminal.output.console
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, width in columns.items():
        drawn.add_column(name, width=width, header_style="dim")
    for row, style in zip(rows, styles, strict=True):
        drawn.add_row(*map(Text, row), style=style)
    screen.print(drawn)


def _print_blocks(
    screen: "Console",
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    styles: Sequence[str],
) -> None:
    for number, (row, style) in enumerate(zip(rows, styles, strict=True)):
        if number:
            screen.print()
        _print_block(screen, list(zip(names, row, strict=True)), style)


def _print_block(screen: "Console", pairs: Sequence[tuple[str, str]], style: str = "") -> None:
    from rich.text import Text  # noqa: PLC0415 - see ops.terminal.output.console

    from ops.terminal import layout  # noqa: PLC0415

    for label, text in layout.block_lines(pairs, screen.width):
        screen.print(Text.assemble((label, "dim"), (text, style)), soft_wrap=True)


def print_line(columns: Columns[T], row: T) -> None:
    """Print one row as a line at once; a terminal that is too narrow for it gets a block."""
    cells = [printable(cell(row)) for cell in columns.values()]
    line = "  ".join(cells)
    screen = console()
    if screen.is_terminal and len(line) > screen.width:
        _print_block(screen, list(zip(columns, cells, strict=True)))
        line = ""
    # click.echo flushes each line, even into a pipe.
    click.echo(line)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line; a terminal wraps a long value below itself."""
    from ops.terminal import layout  # noqa: PLC0415 - see ops.terminal.output.console

    shown = [(name, printable(value)) for name, value in pairs]
    screen = console()
    if screen.is_terminal:
        _print_block(screen, shown)
        return
    for line in layout.aligned_lines(shown):
        click.echo(line)


def print_text(text: str, *, style: str = "", indent: int = 0, wrap: bool = True) -> None:
    """Print text; only a terminal breaks its lines, between words, unless they must stay whole."""
    from rich.text import Text  # noqa: PLC0415 - see ops.terminal.output.console

    from ops.terminal import layout  # noqa: PLC0415

    screen = console()
    lines = printable_lines(text).split("\n")
    if wrap and screen.is_terminal:
        lines = [
            part for line in lines for part in layout.wrap_words(line, screen.width, indent=indent)
        ]
    else:
        lines = [" " * indent + line for line in lines]
    screen.print(Text("\n".join(line.rstrip() for line in lines), style=style), soft_wrap=True)


def print_calls(title: str, calls: Mapping[str, str]) -> None:
    """Print commands to try next, each with its purpose; a command is never broken."""
    print_text(f"\n{title}", style="bold")
    typed = {call_by_name(call): purpose for call, purpose in calls.items()}
    width = max(map(len, typed))
    beside = 2 + width + 2 + max(map(len, typed.values())) <= console().width
    for call, purpose in typed.items():
        if beside:
            print_text(f"{call:{width}}  {purpose}", indent=2, wrap=False)
        else:
            print_text(f"{purpose}:", indent=2)
            print_text(call, indent=4, wrap=False)


def print_section(title: str, sentences: Iterable[str]) -> None:
    """Print sentences that need attention, under a title; nothing if there are none."""
    sentences = list(sentences)
    if sentences:
        print_text(f"\n{title}", style="bold yellow")
    for sentence in sentences:
        print_text(with_command_name(sentence), indent=2)


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
    """Print one JSON document on standard output, with calls in its sentences that can be typed."""
    named = _with_typed_calls(document)
    click.echo(json.dumps(named, indent=2, ensure_ascii=False, default=str))


def _with_typed_calls(document: Json, *, is_sentence: bool = False) -> Json:
    match document:
        case str():
            return with_command_name(document) if is_sentence else document
        case Mapping():
            return {
                name: each
                if name in DATA
                else _with_typed_calls(each, is_sentence=is_sentence or name in SENTENCES)
                for name, each in document.items()
            }
        case Sequence():
            return [_with_typed_calls(each, is_sentence=is_sentence) for each in document]
        case _:
            return document


def console(*, stderr: bool = False, width: int = 160) -> "Console":
    """Return the console: plain text of this width unless it is a terminal."""
    from rich.console import Console  # noqa: PLC0415 - rich takes longer than most commands

    terminal = Console(stderr=stderr, highlight=False)
    return (
        terminal if terminal.is_terminal else Console(stderr=stderr, highlight=False, width=width)
    )
