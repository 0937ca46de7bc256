"""The stand-in as a child process: at most one, ended by itself, by a stop, or for hanging."""

from typing import Final

import structlog

from runtime.broker import TASK_SECONDS
from workers.drain.fallback import LONGEST_RUN_SECONDS
from workers.supervisor.child_processes import ChildProcess

log = structlog.get_logger(__name__)

OVERDUE_SECONDS: Final = LONGEST_RUN_SECONDS + TASK_SECONDS
"""Its last batch may take as long as one of the pool's, and no longer."""


class StandInProcess(ChildProcess):
    """Nobody most of the time."""

    def start(self) -> None:
        """Let it drain, unless it does."""
        if self._process is not None:
            return
        self._spawn()
        self._kill_at = self._clock() + OVERDUE_SECONDS
        log.warning("wake-ups do not reach the pool: a stand-in drains", pid=self.pid)

    def tend(self) -> None:
        """Notice its end, and bring it about if it hangs; to be called a few times a second."""
        if self._kill_if_overdue():
            log.warning("stand-in killed: a batch took too long", pid=self.pid)
        if self._process is not None and self._process.poll() is not None:
            self._process = None
