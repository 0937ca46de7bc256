"""Files by which the supervisor sees what its processes do: claim files and pulses.

A lease must outlast a slow process, so the lease alone holds the events of a dead one for ten
seconds, and its registration keeps other drainers from being woken. Only the same machine can know
sooner. A claim file is locked while its process lives; the kernel drops the lock when it dies.

None of these files is needed: without claim files the leases end claims, without pulses the
counter of claims shows progress. So an error about one is logged once and stops nothing.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runtime.guard import Guard

_TOKEN_BYTES: Final = 64
CLAIM_PREFIX: Final = "claim-"
_UNLOCKED: Final = "unlocked-"

PULSE_VARIABLE: Final = "PAIDUP_POOL_PULSE"
"""Set by the supervisor: the pulse file of a pool."""

FALLBACK_PULSE_VARIABLE: Final = "PAIDUP_FALLBACK_PULSE"
"""Set by the supervisor: the fallback process' pulse file; the pool's must not move for it."""


class ClaimFile:
    """The file of this process with the token of its claim; made after the fork."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None
        self._guard = Guard(f"claim file in {folder}")
        self._write("")

    @contextmanager
    def holding(self, token: str) -> Iterator[None]:
        """Name ``token`` as this process' claim until the block ends."""
        self._write(token)
        try:
            yield
        finally:
            self._write("")

    def _write(self, token: str) -> None:
        self._guard.run(lambda: self._overwrite(token))

    def _overwrite(self, token: str) -> None:
        if self._file is None:
            self._file = self._make()
        # Always as long, so that a disk that gets full later still has the room.
        os.pwrite(self._file, token.encode("ascii").ljust(_TOKEN_BYTES), 0)

    def _make(self) -> int:
        draft = self._folder / f"{_UNLOCKED}{os.getpid()}"
        # Never closed: the lock must end with the process and not before.
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Renamed once it is locked: an unlocked claim file means that its process is dead.
            draft.rename(self._folder / f"{CLAIM_PREFIX}{os.getpid()}")
        except OSError:
            os.close(file)
            raise
        return file


def orphaned_claims(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the claim file of each dead process and its token, '' where it held no claim."""
    for path in folder.glob(f"{CLAIM_PREFIX}*"):
        with path.open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield path, file.read().rstrip()


class Pulse:
    """A file whose modification time is the last time that a drainer asked for a claim."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = Guard(f"pulse {path}")

    @property
    def folder(self) -> Path:
        """The folder for the files of one worker."""
        return self._path.parent

    def beat(self) -> None:
        """Set the modification time to now, if that is possible."""
        self._guard.run(self._path.touch)

    def is_kept(self) -> bool:
        """Return True if a beat would be recorded now. For the process that watches the pulse."""
        probe = self._path.with_name(f"{self._path.name}-probe")
        try:
            probe.touch()
            # Makes the file if there is none, and does not beat.
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
        except OSError:
            return False
        return True

    def last(self) -> float:
        """Return the modification time in seconds, 0.0 if there was no beat."""
        try:
            return self._path.stat().st_mtime
        except OSError:
            return 0.0
