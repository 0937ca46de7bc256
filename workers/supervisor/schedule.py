"""Timed work: which ``paidup`` command runs how often, each as a process of its own.

Nothing here is more than a command that can be run by hand; the supervisor that holds the lock
starts it. A run that is still going is never joined by a second one.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

log = structlog.get_logger(__name__)

START_COMMAND: Final = (sys.executable, "-c", "from ops.cli import main; main()")
"""``paidup`` without a search of the PATH: the entry point in this very interpreter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A ``paidup`` command and the seconds between two of its starts."""

    command: tuple[str, ...]
    every_seconds: float


SCHEDULE: Final = (Timed(command=("expire",), every_seconds=20.0),)


@dataclass(slots=True)
class Schedule:
    """Starts what is due and remembers what still runs; ``clock`` is monotonic seconds."""

    clock: Callable[[], float]
    timed: Sequence[Timed] = SCHEDULE
    start_command: Sequence[str] = START_COMMAND
    _started_at: dict[Timed, float] = field(default_factory=dict)
    _running: dict[Timed, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_due(self) -> None:
        """Start each command whose time has come and whose last run is over."""
        self._collect()
        for timed in self.timed:
            if timed not in self._running and self._is_due(timed):
                self._started_at[timed] = self.clock()
                self._running[timed] = subprocess.Popen(  # noqa: S603 - our own command line
                    [*self.start_command, *timed.command]
                )

    def stop(self, grace_seconds: float) -> None:
        """End what still runs; every command is safe to stop and to run again."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def _is_due(self, timed: Timed) -> bool:
        started_at = self._started_at.get(timed)
        return started_at is None or self.clock() - started_at >= timed.every_seconds

    def _collect(self) -> None:
        for timed, process in list(self._running.items()):
            if (code := process.poll()) is None:
                continue
            del self._running[timed]
            if code != 0:
                log.warning("timed command failed", command=" ".join(timed.command), code=code)
