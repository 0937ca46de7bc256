"""The Celery pool as a child process: started again whenever it ends, stopped once and warm.

Celery workers exit when their broker dies under load, so a restart is no emergency here.
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

log = structlog.get_logger(__name__)

RESTART_PAUSE_SECONDS: Final = 1.0
"""A pool that cannot start (no broker, wrong settings) must not burn a CPU trying."""

STUCK_GRACE_SECONDS: Final = 10.0


class PoolProcess:
    """One pool at a time; ``clock`` is monotonic seconds."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], clock: Callable[[], float]
    ) -> None:
        self._command = tuple(command)
        self._environ = dict(environ)
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0
        self._kill_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The pool's main process, if one runs."""
        return None if self._process is None else self._process.pid

    def keep_alive(self) -> None:
        """Start the pool if none runs; to be called a few times a second."""
        self._kill_if_overdue()
        if self._process is not None and (code := self._process.poll()) is not None:
            log.warning("worker pool ended", pid=self._process.pid, code=code)
            self._process = None
            self._not_before = self._clock() + RESTART_PAUSE_SECONDS
        if self._process is None and self._clock() >= self._not_before:
            self._start()

    def restart(self) -> None:
        """End a pool that does not move: warm at first, and for good if that takes too long."""
        if self._process is not None and self._kill_at is None:
            self._process.terminate()
            self._kill_at = self._clock() + STUCK_GRACE_SECONDS

    def ask_to_stop(self) -> None:
        """Let it end warm, while something else is waited for."""
        if self._process is not None:
            self._process.terminate()

    def stop(self, grace_seconds: float) -> bool:
        """End the pool warm, by one signal; False where it had to be killed at the end."""
        process, self._process = self._process, None
        if process is None:
            return True
        process.terminate()
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        return True

    def _kill_if_overdue(self) -> None:
        if self._kill_at is None or self._process is None or self._clock() < self._kill_at:
            return
        log.warning("worker pool killed", pid=self._process.pid)
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        # A session of its own: a terminal's Ctrl-C and a signal to our group reach only us, and
        # we pass on one. Pool children would die of it in the middle of a batch.
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            self._command, env=self._environ, start_new_session=True
        )
        self._kill_at = None
        log.info("worker pool started", pid=self._process.pid)
