"""Guard a cell of CSV from spreadsheets, which run a text that begins as a formula does.

Such a text gets an apostrophe before it, and so does one that begins with an apostrophe, so that
removing one gives every text back.
"""

from typing import Final

GUARDED: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""The beginnings that a spreadsheet may take for a formula, and the apostrophe itself."""


def with_guard(text: str) -> str:
    """Return the cell that stands for a text."""
    return f"'{text}" if text.startswith(GUARDED) else text


def without_guard(cell: str) -> str:
    """Return the text that a cell stands for."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(GUARDED) else cell
