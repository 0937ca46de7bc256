"""Pid files with a lock that ends when the process does.

The child inherits the descriptor that holds the lock on its pid file, and so do its own children.
A process id in an unlocked file is stale, even if another process has it now. A locked file names
one of our processes, also if another run started it.
"""

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ops.up.servers.errors import StillRunning

KILL_SECONDS = 10.0
"""Seconds for a killed process to disappear; its children end by themselves meanwhile."""

_BYTES = 128
"""The length of every file: naming another process takes no room on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that a locked pid file names, and how to stop it."""

    pid: int
    stop_signal: int
    turn: int
    """Processes with a lower turn are stopped first."""


def claim(path: Path, *, seconds: float = KILL_SECONDS) -> int:
    """Lock the file and return its descriptor for a child to inherit; blank the file.

    Raises:
        StillRunning: if another process keeps the lock for all of ``seconds``.
        OSError: if the disk has no room to name the child in the file, before it is started.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if not _within(seconds, lambda: _lock(descriptor)):
        os.close(descriptor)
        named = holder(path)
        raise StillRunning(path, named.pid if named else None)
    try:
        os.pwrite(descriptor, b" " * _BYTES, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def write(descriptor: int, named: Holder) -> None:
    """Write the child that was just started into the file that it holds."""
    os.pwrite(descriptor, json.dumps(asdict(named)).encode().ljust(_BYTES), 0)


def is_held(path: Path) -> bool:
    """Return True if the process, or a child that it left behind, still runs."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def holder(path: Path) -> Holder | None:
    """Return the running process in the file; None if none runs or none was written yet."""
    if not is_held(path):
        return None
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def stop(path: Path, *, seconds: float) -> bool:
    """End the process that holds the file, gently first; False if there was none.

    Raises:
        StillRunning: if it still runs after SIGKILL.
    """
    if not is_held(path):
        return False
    named = holder(path)
    if named:
        _signal(named.pid, signal.SIGCONT)
        _signal(named.pid, named.stop_signal)
    if not _released(path, seconds) and named:
        kill_group(named.pid)
    if not _released(path, KILL_SECONDS):
        raise StillRunning(path, named.pid if named else None)
    return True


def stop_all(folder: Path, *, seconds: float) -> int:
    """End every process that has a pid file anywhere under the folder, in the order of turns."""
    paths = sorted(folder.rglob("*.pid"), key=_turn)
    return sum(stop(path, seconds=seconds) for path in paths)


def kill_group(pid: int) -> None:
    """Send SIGKILL to a process and its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _signal(pid, signal.SIGKILL)


def _turn(path: Path) -> int:
    named = holder(path)
    return named.turn if named else 0


def _released(path: Path, seconds: float) -> bool:
    return _within(seconds, lambda: not is_held(path))


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
