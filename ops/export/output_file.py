"""Write an export to standard output, or to a file that appears once it is complete."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ops.errors import CommandFailed
from ops.terminal.progress import ReportProgress


@contextmanager
def open_output(path: Path | None) -> Iterator[BinaryIO]:
    """Open standard output, or a new file that gets its name once it is complete.

    Exports hold personal data, so only the owner may read the file.

    Raises:
        CommandFailed: the file exists already, or cannot be written.
    """
    if path is None:
        yield sys.stdout.buffer
        return
    if path.exists():
        raise CommandFailed(f"{path} exists already: name another file, or move it away")
    part = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}; nothing was exported") from error
    finally:
        part.unlink(missing_ok=True)


def write_lines(lines: Iterable[bytes], file: BinaryIO, report: ReportProgress) -> int:
    """Write every line and return how many there were."""
    number = 0
    for number, line in enumerate(lines, start=1):
        file.write(line)
        report(number)
    file.flush()
    return number
