"""How far a long command has come, on standard error; nothing at all where nobody looks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Moved = Callable[[int], None]
"""Say how many are done by now."""


@contextmanager
def progress(name: str, total: int) -> Iterator[Moved]:
    """A bar with the time that is left; the total is a guess while others are at work."""
    from rich.console import Console  # noqa: PLC0415 - see ops.output.console
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
    )
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.update(task, completed=done)
