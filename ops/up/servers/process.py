"""A long-running process of ours: started in its own session, known by its pid file, stopped whole.

Its own session keeps a terminal's Ctrl-C away from it: whoever started it decides the order.
"""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ops.up.servers import pidfile
from ops.up.servers.account import Account
from ops.up.servers.errors import ServerDidNotStart

_TAIL_BYTES = 4096
_MOST_LOG_BYTES = 16 * 1024 * 1024
_PORT_TRIES = 5
_TELLING = ("FATAL", "PANIC", "rror", "Failed", "Fatal")


class Process(ABC):
    """One process; subclasses say what is run, when it is ready and how it likes to stop."""

    name: str
    turn = 2
    stop_signal = signal.SIGTERM
    stop_seconds = 10.0
    start_seconds = 30.0

    def __init__(self, *, folder: Path, run: Path, log: Path) -> None:
        """``folder`` is its working directory, ``run`` holds pid files, ``log`` is appended to.

        ``pause`` is how it waits while it starts; what that raises ends the wait.
        """
        self.folder = folder
        self.pid_file = run / f"{self.name}.pid"
        self.log = log
        self.pause: Callable[[float], None] = time.sleep
        self._child: subprocess.Popen[bytes] | None = None
        self._log_offset = 0

    # What subclasses say ---------------------------------------------------------------

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The argument vector."""

    def environ(self) -> Mapping[str, str]:
        """The whole environment: a server needs no secrets of ours in its own."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    def account(self) -> Account | None:
        """Whom to become; None to stay who we are."""
        return None

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """What must be on disk before every start."""

    def is_ready(self) -> bool:
        """Whether it does its work, asked again and again while it starts."""
        return True

    def move(self) -> bool:
        """Choose another port after the first was taken; False where the port is given."""
        return False

    # What everybody uses ---------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process id of the running process.

        Raises:
            ProcessLookupError: when it does not run.
        """
        if self._child is None or self._child.poll() is not None:
            raise ProcessLookupError(f"{self.name} does not run")
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs or before it was started."""
        return None if self._child is None else self._child.poll()

    def is_alive(self) -> bool:
        """Whether the process that we started is still there."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it and wait until it is ready; a taken port is changed where that is allowed.

        Raises:
            ServerDidNotStart: with the last line of its log.
            StillRunning: when a left-over process holds the pid file.
        """
        for tries_left in reversed(range(_PORT_TRIES)):
            self.prepare()
            self.spawn()
            try:
                self.await_ready()
            except ServerDidNotStart:
                taken = "ddress already in use" in self._written()
                if not (taken and tries_left and self.move()):
                    raise
            else:
                return

    def spawn(self) -> None:
        """Start it without waiting; most callers want ``start``."""
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._turn_log_over()
        lock = pidfile.claim(self.pid_file)
        try:
            with self.log.open("ab") as output:
                self._log_offset = output.tell()
                self._child = self._popen(output.fileno(), lock)
            pidfile.write(lock, self._holder())
        finally:
            os.close(lock)

    def await_ready(self) -> None:
        """Wait until it is ready, for as long as a start may take.

        Raises:
            ServerDidNotStart: with the line of its log that says most.
        """
        deadline = time.monotonic() + self.start_seconds
        while not self.is_ready():
            if not self.is_alive():
                raise ServerDidNotStart(self.name, self.last_words(), self.log)
            if time.monotonic() > deadline:
                self.stop()
                said = f"no answer within {self.start_seconds:.0f} seconds"
                raise ServerDidNotStart(self.name, said, self.log)
            self.pause(0.02)

    def stop(self) -> None:
        """Ask it to end, wait, and kill what does not; quiet if it does not run."""
        if self._child is None:
            return
        with suppress(ProcessLookupError):
            self.thaw()
            os.kill(self.pid, self.stop_signal)
        try:
            self._child.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL for it and its process group, as a lost machine would do; returns when gone."""
        if self._child is not None:
            pidfile.kill_group(self._child.pid)
            self._child.wait()

    def freeze(self) -> None:
        """Stop it in its tracks: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def last_words(self) -> str:
        """The line of its log, since it was started, that best says what went wrong."""
        lines = [line.strip() for line in self._written().splitlines() if line.strip()]
        telling = [line for line in lines if any(word in line for word in _TELLING)]
        return (telling or lines or [""])[-1]

    def _written(self) -> str:
        with suppress(OSError), self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_offset, size - _TAIL_BYTES))
            return log.read().decode(errors="replace")
        return ""

    def _turn_log_over(self) -> None:
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > _MOST_LOG_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))

    def _popen(self, output: int, lock: int) -> "subprocess.Popen[bytes]":
        become = self.account()
        return subprocess.Popen(  # noqa: S603 - the argument vector is ours
            [str(part) for part in self.command()],
            cwd=self.folder,
            env=dict(self.environ()),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,
            user=become.uid if become else None,
            group=become.gid if become else None,
            extra_groups=[] if become else None,
            umask=0o077,
        )

    def _holder(self) -> pidfile.Holder:
        return pidfile.Holder(pid=self.pid, stop_signal=self.stop_signal, turn=self.turn)
