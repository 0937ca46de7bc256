"""What lists and reports share: nothing is cut off, and nothing strange reaches a terminal.

User ids and features come from whoever filled in Stripe's fields, so text is made visible before
it is printed: an escape sequence in a user's name must not repaint an operator's screen.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


_WIDEST = 10_000


def visible(value: object) -> str:
    """The value as text whose control characters are written out; nothing is ``-``."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "".join(map(_visible, str(value)))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return repr(character)[1:-1]


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> "Table":
    """Columns without a frame; a narrow terminal folds cells and never shortens them."""
    from rich.table import Table  # noqa: PLC0415 - see ops.output.console
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        drawn.add_column(column, overflow="fold", header_style="dim")
    for row in rows:
        drawn.add_row(*(Text(visible(cell)) for cell in row))
    return drawn


def facing(pairs: Iterable[tuple[str, object]]) -> "Table":
    """Names and what they stand for, one pair a line."""
    drawn = table(("", ""), pairs)
    drawn.show_header = False
    drawn.columns[0].style = "dim"
    drawn.columns[0].no_wrap = True
    return drawn


def show(drawn: "Table") -> None:
    """Print a table; into a pipe as wide as its longest line, so that every row is one line."""
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


def say(text: str, *, style: str = "", indent: int = 0) -> None:
    """Print a sentence; whoever reads it breaks its lines."""
    from rich.text import Text  # noqa: PLC0415 - see ops.output.console

    lines = (" " * indent + visible(line) if line else "" for line in text.split("\n"))
    console().print(Text("\n".join(lines), style=style), soft_wrap=True)


def plain(value: object) -> Json:
    """The value in types that JSON has; times are ISO 8601."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(name): plain(each) for name, each in value.items()}
        case Iterable():
            return [plain(each) for each in value]
        case _:
            return str(value)


def emit_json(document: Json) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def console() -> "Console":
    """Where rich prints: plain and unwrapped text when nobody looks."""
    from rich.console import Console  # noqa: PLC0415 - rich takes longer than most commands

    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=160)
