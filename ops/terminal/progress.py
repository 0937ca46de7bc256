"""A progress bar on standard error for a long command; without a terminal it prints nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class ReportProgress(Protocol):
    """Move the bar: how many are done, and a short text beside the numbers."""

    def __call__(self, done: int, detail: str = "") -> None:
        """Show that ``done`` are done by now."""


@contextmanager
def progress(name: str, total: int | None) -> Iterator[ReportProgress]:
    """Show a bar with the time left.

    ``total`` is an estimate while other processes write, and None if it is unknown.
    """
    from rich.console import Console  # noqa: PLC0415 - see terminal.output.console
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    screen = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task(name, total=total, detail="")

        def report(done: int, detail: str = "") -> None:
            bar.update(task, completed=done, detail=detail)

        yield report
