"""The stand-in as a child process: at most one, ended by itself, by a stop, or for hanging."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from runtime.broker import TASK_SECONDS
from workers.stand_in import LONGEST_RUN_SECONDS

log = structlog.get_logger(__name__)

OVERDUE_SECONDS: Final = LONGEST_RUN_SECONDS + TASK_SECONDS
"""Its last batch may take as long as one of the pool's, and no longer."""


class StandInProcess:
    """Nobody most of the time; ``clock`` is monotonic seconds."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], clock: Callable[[], float]
    ) -> None:
        self._command = tuple(command)
        self._environ = dict(environ)
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._kill_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Let it drain, unless it does."""
        if self._process is not None:
            return
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            self._command, env=self._environ, start_new_session=True
        )
        self._kill_at = self._clock() + OVERDUE_SECONDS
        log.warning("wake-ups do not reach the pool: a stand-in drains", pid=self._process.pid)

    def tend(self) -> None:
        """Notice its end, and bring it about if it hangs; to be called a few times a second."""
        if self._process is None:
            return
        if self._process.poll() is None and self._clock() >= self._kill_at:
            log.warning("stand-in killed: a batch took too long", pid=self._process.pid)
            self._process.kill()
            self._process.wait()
        if self._process.poll() is not None:
            self._process = None

    def ask_to_stop(self) -> None:
        """Let it end after the batch in its hands."""
        if self._process is not None:
            self._process.terminate()

    def stop(self, grace_seconds: float) -> None:
        """Wait for that, and not for ever."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
