"""Files by which the supervisor sees what its processes do: claim files and pulses.

A lease must outlast a slow process, so the lease alone holds the events of a dead one for ten
seconds, and its registration keeps other drainers from being woken. Only the same machine can know
sooner. A claim file is locked while its process lives; the kernel drops the lock when it dies.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PREFIX: Final = "claim-"
_UNLOCKED: Final = "unlocked-"

PULSE_VARIABLE: Final = "PAIDUP_POOL_PULSE"
"""Set by the supervisor: the pulse file of a pool."""

FALLBACK_PULSE_VARIABLE: Final = "PAIDUP_FALLBACK_PULSE"
"""Set by the supervisor: the fallback process' pulse file; the pool's must not move for it."""

REDIS_TIMEOUT_SECONDS: Final = 5.0


class ClaimFile:
    """The file of this process with the token of its claim; made after the fork."""

    def __init__(self, folder: Path) -> None:
        draft = folder / f"{_UNLOCKED}{os.getpid()}"
        # Never closed: the lock must end with the process and not before.
        self._file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        # Renamed once it is locked: an unlocked claim file means that its process is dead.
        draft.rename(folder / f"{_PREFIX}{os.getpid()}")

    @contextmanager
    def holding(self, token: str) -> Iterator[None]:
        """Name ``token`` as this process' claim until the block ends."""
        self._write(token)
        try:
            yield
        finally:
            self._write("")

    def _write(self, token: str) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, token.encode("ascii"), 0)


def orphaned_claims(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the claim file of each dead process and its token, '' where it held no claim."""
    for path in folder.glob(f"{_PREFIX}*"):
        with path.open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield path, file.read()


class Pulse:
    """A file whose modification time is the last time that a drainer asked for a claim."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def folder(self) -> Path:
        """The folder for the files of one worker."""
        return self._path.parent

    def beat(self) -> None:
        """Set the modification time to now."""
        self._path.touch()

    def last(self) -> float:
        """Return the modification time in seconds, 0.0 if there was no beat."""
        try:
            return self._path.stat().st_mtime
        except FileNotFoundError:
            return 0.0
