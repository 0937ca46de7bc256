"""Lay out words, records and tables in a width. Pure; no word is ever broken.

An id that is broken in two cannot be copied, and no search finds it.
"""

from collections.abc import Iterator, Sequence
from textwrap import TextWrapper
from typing import Final

from rich.cells import cell_len

NARROW: Final = 80
"""Columns; a terminal with fewer shows one block a record instead of a table."""

GAP: Final = 2
"""Blank columns between two columns of a table."""

_PROSE: Final = 24
"""The width below which a column of sentences is not worth reading."""

Row = Sequence[str]


def wrap_words(text: str, width: int, *, indent: int = 0) -> list[str]:
    """Return the lines of a text, each indented as the text is, and ``indent`` more.

    A word that is wider than the line has a line of its own and begins further to the left.
    """
    if indent + cell_len(text) <= width:
        return [" " * indent + text]
    own = len(text) - len(text.lstrip(" "))
    margin = indent + own
    wrapper = TextWrapper(
        max(1, width - margin),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )
    return [_place(line, margin, width) for line in wrapper.wrap(text.lstrip(" "))] or [""]


def _place(line: str, margin: int, width: int) -> str:
    return " " * max(0, min(margin, width - cell_len(line))) + line


def aligned_lines(rows: Sequence[Row]) -> list[str]:
    """Return one line for each row, its columns aligned, however long."""
    widths = _natural_widths(rows)
    return ["".join(map(_pad, row, widths)).rstrip() for row in rows]


def column_widths(rows: Sequence[Row], width: int) -> list[int] | None:
    """Return the widths of a table's columns; None if a word or a column of prose needs more.

    Columns of sentences share what is left by the others.
    """
    natural = _natural_widths(rows)
    available = width - GAP * (len(natural) - 1)
    if sum(natural) <= available:
        return natural
    words = (max(_longest_word(row[column]) for row in rows) for column in range(len(natural)))
    widths = [max(word, min(most, _PROSE)) for word, most in zip(words, natural, strict=True)]
    left = available - sum(widths)
    if left < 0:
        return None
    while left > 0:
        column = max(range(len(widths)), key=lambda each: natural[each] / widths[each])
        widths[column] += 1
        left -= 1
    return widths


def block_lines(pairs: Sequence[tuple[str, str]], width: int) -> Iterator[tuple[str, str]]:
    """Yield the lines of one record, each as label and text; a long text goes on below itself.

    A word that does not fit beside the labels has a line of its own.
    """
    side = max((cell_len(label) for label, _ in pairs), default=0) + GAP
    for label, text in pairs:
        first = _pad_to(label, side)
        if side + _longest_word(text) > width:
            yield label, ""
            yield from (("", line) for line in wrap_words(text, width, indent=GAP))
            continue
        lines = wrap_words(text, width - side)
        yield first, lines[0]
        yield from ((" " * side, line) for line in lines[1:])


def _natural_widths(rows: Sequence[Row]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split(" ")))


def _pad(text: str, width: int) -> str:
    return _pad_to(text, width + GAP)


def _pad_to(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
