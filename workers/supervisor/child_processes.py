"""Start and stop the supervisor's child processes, by a signal first and by a kill if needed."""

import subprocess
from collections.abc import Callable, Mapping, Sequence

import structlog

from runtime.parent_watch import with_parent
from runtime.time_limits import OVERDUE_SECONDS, POOL_STARTS_APART_SECONDS, STUCK_GRACE_SECONDS

log = structlog.get_logger(__name__)


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
        """The process id, or None if no process runs."""
        return None if self._process is None else self._process.pid

    def ask_to_stop(self) -> None:
        """Send SIGTERM and do not wait."""
        if self._process is not None:
            self._process.terminate()

    def stop(self, grace_seconds: float) -> bool:
        """Send SIGTERM and wait; return False if the process had to be killed."""
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
        # A session of its own: Ctrl-C in a terminal, or a signal to the process group, reaches
        # only the supervisor, which passes on one. Pool children would die of it in mid-batch.
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            self._command, env=with_parent(self._environ), start_new_session=True
        )
        self._kill_at = None

    def _kill_if_overdue(self) -> bool:
        """Kill the process if it runs longer than it may; return True if it was killed."""
        overdue = self._kill_at is not None and self._clock() >= self._kill_at
        if not overdue or self._process is None or self._process.poll() is not None:
            return False
        self._process.kill()
        self._process.wait()
        return True


class PoolProcess(ChildProcess):
    """A pool; at most one process of it runs at a time."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], clock: Callable[[], float]
    ) -> None:
        super().__init__(command, environ, clock)
        self._not_before = 0.0

    def keep_alive(self) -> None:
        """Start the pool if none runs; call this a few times a second."""
        if self._kill_if_overdue():
            log.warning("worker pool killed", pid=self.pid)
        if self._process is not None and (code := self._process.poll()) is not None:
            log.warning("worker pool ended", pid=self._process.pid, code=code)
            self._process = None
        if self._process is None and self._clock() >= self._not_before:
            self._spawn()
            self._not_before = self._clock() + POOL_STARTS_APART_SECONDS
            log.info("worker pool started", pid=self.pid)

    def restart(self) -> None:
        """Stop a stuck pool by SIGTERM, and kill it if that takes too long."""
        if self._process is not None and self._kill_at is None:
            self._process.terminate()
            self._kill_at = self._clock() + STUCK_GRACE_SECONDS


class FallbackProcess(ChildProcess):
    """A process that drains without a wake-up; most of the time none runs."""

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is not None:
            return
        self._spawn()
        self._kill_at = self._clock() + OVERDUE_SECONDS
        log.warning("wake-ups do not reach the pool: a fallback process drains", pid=self.pid)

    def check(self) -> None:
        """Notice its end, and kill it if it hangs; call this a few times a second."""
        if self._kill_if_overdue():
            log.warning("fallback process killed: a batch took too long", pid=self.pid)
        if self._process is not None and self._process.poll() is not None:
            self._process = None
