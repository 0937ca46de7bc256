"""Read standard input without a silent wait for a person who does not know of it."""

import shutil
import sys
import tempfile
from typing import BinaryIO, Final

import click

from ops.terminal.waits import Waits

STDIN: Final = "-"
"""The name of a file that means standard input."""


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
