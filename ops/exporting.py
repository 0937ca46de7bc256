"""Events on their way into a file, which is there whole or not at all."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ops.errors import NotDone
from ops.terminal.progress import Moved


@contextmanager
def opened(path: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that takes its name once everything is in it.

    What events say is about people, so nobody else may read the file.

    Raises:
        NotDone: the file is there already, or cannot be written.
    """
    if path is None:
        yield sys.stdout.buffer
        return
    if path.exists():
        raise NotDone(f"{path} is there already: name another file, or move it away")
    part = path.with_name(f"{path.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        raise NotDone(f"{path}: {error.strerror}; nothing was exported") from error
    finally:
        part.unlink(missing_ok=True)


def pour(lines: Iterable[bytes], file: BinaryIO, moved: Moved) -> int:
    """Write every line; how many there were."""
    number = 0
    for number, line in enumerate(lines, start=1):
        file.write(line)
        moved(number)
    file.flush()
    return number
