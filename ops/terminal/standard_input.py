"""Read standard input without a silent wait for a person who does not know of it."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO, Final

import click

from ops.terminal.waits import Waits

STDIN: Final = "-"
"""The name of a file that means standard input."""


def open_input(name: str) -> BinaryIO:
    """Open a file, or all of standard input if it is named ``-``; the caller closes it.

    Raises:
        OSError: the file cannot be opened.
        UsageError: standard input is a terminal.
    """
    return spool_standard_input() if name == STDIN else Path(name).open("rb")


def spool_standard_input() -> BinaryIO:
    """Return all of standard input as a temporary file, which the caller closes.

    While nothing ends it, a line on standard error says so every few seconds.

    Raises:
        UsageError: standard input is a terminal.
    """
    if sys.stdin.isatty():
        raise click.UsageError(
            "standard input is a terminal: pipe something into it, or name a file instead of -"
        )
    spooled: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with Waits(lambda line: click.echo(f"paidup: {line}", err=True)) as waits:
        waits.wait_for("the end of standard input")
        shutil.copyfileobj(sys.stdin.buffer, spooled)
    spooled.seek(0)
    return spooled
