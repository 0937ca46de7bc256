"""The Celery pool as a child process: started again whenever it ends, stopped once and warm.

Celery workers exit when their broker dies under load, so a restart is no emergency here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from workers.supervisor.child_processes import ChildProcess

log = structlog.get_logger(__name__)

STARTS_APART_SECONDS: Final = 2.0
"""A pool that cannot start (wrong settings) must not burn a CPU trying; one that worked and died
is missed by every event that is due, and is replaced at once."""

STUCK_GRACE_SECONDS: Final = 10.0


class PoolProcess(ChildProcess):
    """One pool at a time, for as long as it is kept alive."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], clock: Callable[[], float]
    ) -> None:
        super().__init__(command, environ, clock)
        self._not_before = 0.0

    def keep_alive(self) -> None:
        """Start the pool if none runs; to be called a few times a second."""
        if self._kill_if_overdue():
            log.warning("worker pool killed", pid=self.pid)
        if self._process is not None and (code := self._process.poll()) is not None:
            log.warning("worker pool ended", pid=self._process.pid, code=code)
            self._process = None
        if self._process is None and self._clock() >= self._not_before:
            self._spawn()
            self._not_before = self._clock() + STARTS_APART_SECONDS
            log.info("worker pool started", pid=self.pid)

    def restart(self) -> None:
        """End a pool that does not move: warm at first, and for good if that takes too long."""
        if self._process is not None and self._kill_at is None:
            self._process.terminate()
            self._kill_at = self._clock() + STUCK_GRACE_SECONDS
