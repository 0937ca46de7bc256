"""What the supervisor's child processes have in common: a start, a warm end, and a hard one."""

import subprocess
from collections.abc import Callable, Mapping, Sequence


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
