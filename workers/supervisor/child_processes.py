"""What the supervisor's child processes have in common: a start, a warm end, and a hard one."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from runtime.broker import TASK_SECONDS
from workers.liveness import FALLBACK_RUN_SECONDS


class ChildProcess:
    """At most one process of a command at a time; ``clock`` is monotonic seconds."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], clock: Callable[[], float]
    ) -> None:
        self._command = tuple(command)
        self._environ = dict(environ)
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._kill_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The process, if one runs."""
        return None if self._process is None else self._process.pid

    def ask_to_stop(self) -> None:
        """Let it end warm, while something else is waited for."""
        if self._process is not None:
            self._process.terminate()

    def stop(self, grace_seconds: float) -> bool:
        """End it warm; False where it had to be killed at the end."""
        self.ask_to_stop()
        process, self._process = self._process, None
        if process is None:
            return True
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        return True

    def _spawn(self) -> None:
        # A session of its own: a terminal's Ctrl-C and a signal to our group reach only us, and
        # we pass on one. Pool children would die of it in the middle of a batch.
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            self._command, env=self._environ, start_new_session=True
        )
        self._kill_at = None

    def _kill_if_overdue(self) -> bool:
        """Whether it had to be killed, because it runs longer than it may."""
        overdue = self._kill_at is not None and self._clock() >= self._kill_at
        if not overdue or self._process is None or self._process.poll() is not None:
            return False
        self._process.kill()
        self._process.wait()
        return True


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


log = structlog.get_logger(__name__)


OVERDUE_SECONDS: Final = FALLBACK_RUN_SECONDS + TASK_SECONDS
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
