"""What a process that drains leaves behind for the case that it dies: the name of its claim.

A lease must be long enough for a process that is merely slow, so by itself it keeps the events of
a dead one for ten seconds, and its registration lets nobody be woken in its place. Only the
machine it died on can know better. The file is locked for as long as its writer lives; the kernel
lets go of it with the process, whatever ended that.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PREFIX: Final = "will-"
_UNSIGNED: Final = "unsigned-"


class Will:
    """The file of this process; made after the fork."""

    def __init__(self, folder: Path) -> None:
        draft = folder / f"{_UNSIGNED}{os.getpid()}"
        # Never closed: the lock is to end with the process and not before.
        self._file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        # Under its name only once it is locked, or a living process would be taken for a dead one.
        draft.rename(folder / f"{_PREFIX}{os.getpid()}")

    @contextmanager
    def naming(self, token: str) -> Iterator[None]:
        """While the block runs, the claim of this token is what this process would leave."""
        self._write(token)
        try:
            yield
        finally:
            self._write("")

    def _write(self, token: str) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, token.encode("ascii"), 0)


def of_the_dead(folder: Path) -> Iterator[tuple[Path, str]]:
    """The wills whose writers are dead, with the token in each; '' where nothing was claimed."""
    for path in folder.glob(f"{_PREFIX}*"):
        with path.open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield path, file.read()


class Pulse:
    """The file whose time of change is the pool's last movement."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def folder(self) -> Path:
        """Where the files of one worker are."""
        return self._path.parent

    def beat(self) -> None:
        """Say that a drainer moved."""
        self._path.touch()

    def last(self) -> float:
        """When it last moved, as the file system tells it; 0.0 if never."""
        try:
            return self._path.stat().st_mtime
        except FileNotFoundError:
            return 0.0


PULSE_VARIABLE: Final = "PAIDUP_POOL_PULSE"
"""Set by the supervisor: the file this pool touches whenever a drainer moves."""


REDIS_TIMEOUT_SECONDS: Final = 5.0


FALLBACK_RUN_SECONDS: Final = 30.0


FALLBACK_PULSE_VARIABLE: Final = "PAIDUP_STAND_IN_PULSE"
"""A file of its own: that somebody else works must not make a pool look as if it did."""
