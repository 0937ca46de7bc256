"""Count in memory once a metrics file has no room, so that the process lives.

prometheus_client makes a file longer than what is on the disk and maps it into memory. Where the
folder cannot be written, or a limit or quota refuses the length, the first metric raises. On a
full disk it does not: the first count that touches the missing part kills the process with SIGBUS.
So the bytes are written before they are mapped. A process that counts in memory writes all of it to
its file once there is room.
"""

import mmap
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import mmap_dict, values
from prometheus_client.mmap_dict import MmapedDict

from runtime.time_limits import METRICS_RETRY_SECONDS

log = structlog.stdlib.get_logger(__name__)

_FIRST_BYTES: Final[int] = mmap_dict._INITIAL_MMAP_SIZE  # noqa: SLF001 - the library's own size

# Neither has type annotations.
_Values: Any = MmapedDict
_library: Any = values

ADVICE: Final = "make room or mount it writable: then they are shown again"


class ReservedValues(_Values):  # type: ignore[misc]  # its base is untyped
    """The values of one file, all of whose bytes are on the disk.

    Raises:
        OSError: there is no room for the file or a larger one; nothing has changed then.
    """

    def __init__(self, filename: str) -> None:
        path = Path(filename)
        if not path.exists() or path.stat().st_size == 0:
            _make(path)
        super().__init__(filename)

    def _init_value(self, key: str) -> None:
        # The library would lengthen the file in its own way once it is too short.
        while self._used + _needed(key) > self._capacity:
            _append(self._f.fileno(), self._capacity, bytes(self._capacity))
            self._capacity *= 2
            self._m = mmap.mmap(self._f.fileno(), self._capacity)
        super()._init_value(key)


class LastingValues(ReservedValues):
    """The values of this process: in a file whenever that has room, and else in memory."""

    def __init__(self, filename: str) -> None:
        self._next_try = 0.0
        try:
            super().__init__(filename)
        except OSError as error:
            self._forget_file(filename, error)

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Set a value; in memory, first try from time to time to write all to the file."""
        if isinstance(self._f, _NoFile) and time.monotonic() >= self._next_try:
            self._return_to_file()
        super().write_value(key, value, timestamp)

    def _init_value(self, key: str) -> None:
        try:
            super()._init_value(key)
        except OSError as error:
            self._go_on_in_memory(error)
            super()._init_value(key)

    def _forget_file(self, filename: str, error: OSError) -> None:
        self._f: Any = _NoFile()
        self._fname = filename
        self._capacity, self._used = _FIRST_BYTES, 8
        self._positions: dict[str, int] = {}
        self._m = mmap.mmap(-1, _FIRST_BYTES)
        self._next_try = time.monotonic() + METRICS_RETRY_SECONDS
        _log_no_room(filename, error)

    def _go_on_in_memory(self, error: OSError) -> None:
        """Leave the file as it is: what it says was counted, and the library reads it still."""
        grown = mmap.mmap(-1, self._capacity * 2)
        grown[: self._used] = self._m[: self._used]
        self._m.close()
        self._m, self._capacity = grown, self._capacity * 2
        if not isinstance(self._f, _NoFile):
            self._f.close()
            self._f = _NoFile()
            self._next_try = time.monotonic() + METRICS_RETRY_SECONDS
            _log_no_room(self._fname, error)

    def _return_to_file(self) -> None:
        """Write all values to the file and count there again, or stay in memory for a while."""
        self._next_try = time.monotonic() + METRICS_RETRY_SECONDS
        path = Path(self._fname)
        with suppress(OSError):
            _make(path, self._m[: self._capacity])
            file = path.open("a+b")
            mapped = mmap.mmap(file.fileno(), self._capacity)
            self._m.close()
            self._f, self._m = file, mapped
            log.info("metrics are in their file again", file=self._fname)


class _NoFile:
    """Stands where the library expects a file."""

    def close(self) -> None:
        """Do nothing."""

    def fileno(self) -> int:
        """Return a number that belongs to no file."""
        return -1


def count_in_lasting_files() -> None:
    """Make prometheus_client use ``LastingValues`` in this process; call it before any metric.

    The library looks for a folder when Python imports it. A process that claimed its folder itself,
    as the worker's supervisor does, imported it before.
    """
    _library.MmapedDict = LastingValues
    _library.ValueClass = _library.get_value_class()


def _make(path: Path, content: bytes = bytes(_FIRST_BYTES)) -> None:
    """Make the file beside its place and move it there, since scrapes read what is there."""
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _append(descriptor, 0, content)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise
    finally:
        os.close(descriptor)


def _append(descriptor: int, length: int, content: bytes) -> None:
    """Append to a file of ``length`` bytes; cut off what was written if there is no room."""
    left = content
    try:
        while left:
            os.lseek(descriptor, 0, os.SEEK_END)
            left = left[os.write(descriptor, left) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, length)
        raise


def _needed(key: str) -> int:
    """Return at least the bytes of a new value: its length, key, padding, value and time."""
    return len(key.encode()) + 32


def _log_no_room(filename: str, error: OSError) -> None:
    log.error(
        "metrics are kept in memory: their file has no room",
        file=filename,
        error=error.strerror or str(error),
        todo=ADVICE,
    )
