"""Find every process that a test started, whoever its parent is by now: Linux's /proc only."""

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

MARK = "TEST_PROCESS_TREE"
PROC = Path("/proc")


class ProcessTree:
    """Processes with a mark in the environment that they were started with; a fork keeps it."""

    def __init__(self) -> None:
        self.environ = {MARK: uuid4().hex}

    def living(self) -> list[str]:
        """Return ``pid command`` of each process that has not ended."""
        return [f"{pid} {self._command(pid)}" for pid in self.pids()]

    def pids(self) -> list[int]:
        """Return the processes that have not ended; a zombie has no environment."""
        mark = f"{MARK}={self.environ[MARK]}".encode()
        found = (int(each.name) for each in PROC.iterdir() if each.name.isdigit())
        return [pid for pid in found if mark in self._read(pid, "environ").split(b"\0")]

    def kill(self) -> None:
        """Kill what is left, so that a failed test leaves nothing behind."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, 9)

    def _command(self, pid: int) -> str:
        return self._read(pid, "cmdline").replace(b"\0", b" ").decode().strip()

    def _read(self, pid: int, name: str) -> bytes:
        with suppress(OSError):
            return (PROC / str(pid) / name).read_bytes()
        return b""
