"""A child process that Paidup starts in its own session and stops with all its children.

Its own session keeps a terminal's Ctrl-C away from it, so that its parent decides the order of
stopping.
"""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ops.terminal.formats import format_duration
from ops.up.servers import pidfile
from ops.up.servers.account import ServerAccount
from ops.up.servers.errors import ServerDidNotStart
from ops.up.servers.ports import free_port

_TAIL_BYTES = 4096
_MAX_LOG_BYTES = 16 * 1024 * 1024
_PORT_TRIES = 5
_TELLING = ("FATAL", "PANIC", "rror", "Failed", "Fatal")


class Process(ABC):
    """One process; subclasses define its command, when it is ready and how it stops."""

    name: str
    turn = 2
    stop_signal = signal.SIGTERM
    stop_seconds = 10.0
    start_seconds = 30.0
    port: int
    may_move = False
    """True while no client knows the port, so that another one may be taken."""

    def __init__(self, *, folder: Path, run: Path, log: Path) -> None:
        """Take the working directory, the folder of pid files and the log to append to.

        ``pause`` waits while the process starts; what it raises ends the wait.
        """
        self.folder = folder
        self.pid_file = run / f"{self.name}.pid"
        self.log = log
        self.pause: Callable[[float], None] = time.sleep
        self._child: subprocess.Popen[bytes] | None = None
        self._log_offset = 0

    # Defined by subclasses --------------------------------------------------------------

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """Return the argument vector."""

    def environ(self) -> Mapping[str, str]:
        """Return the whole environment, without our secrets: a server needs none of them."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    def account(self) -> ServerAccount | None:
        """Return the account to run as; None to keep our own."""
        return None

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Write to disk what the process needs before every start."""

    def is_ready(self) -> bool:
        """Return True if it does its work; called repeatedly while it starts."""
        return True

    def why_not_ready(self) -> str:
        """Return what the last look at it said; empty where it said nothing."""
        return ""

    # Used by callers --------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process id of the running process.

        Raises:
            ProcessLookupError: if it does not run.
        """
        if self._child is None or self._child.poll() is not None:
            raise ProcessLookupError(f"{self.name} does not run")
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs or before it was started."""
        return None if self._child is None else self._child.poll()

    def is_alive(self) -> bool:
        """Return True if the process that we started still runs."""
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it and wait until it is ready; change a port in use where that is allowed.

        Raises:
            ServerDidNotStart: with the last line of its log.
            StillRunning: if a left-over process holds the pid file.
        """
        for tries_left in reversed(range(_PORT_TRIES)):
            self.prepare()
            self.spawn()
            try:
                self.await_ready()
            except ServerDidNotStart:
                taken = "ddress already in use" in self._written()
                if not (taken and tries_left and self.may_move):
                    raise
                self.port = free_port()
            else:
                self.may_move = False
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
            # Not ``self.pid``: a process that has ended already is named, too, and then quoted.
            named = pidfile.Holder(
                pid=self._child.pid, stop_signal=self.stop_signal, turn=self.turn
            )
            pidfile.write(lock, named)
        finally:
            os.close(lock)

    def await_ready(self) -> None:
        """Wait until it is ready, for as long as a start may take.

        Raises:
            ServerDidNotStart: with the most telling line of its log.
        """
        deadline = time.monotonic() + self.start_seconds
        while not self.is_ready():
            if not self.is_alive():
                raise ServerDidNotStart(self.name, self.last_words(), self.log)
            if time.monotonic() > deadline:
                why = self.why_not_ready()
                self.stop()
                said = f"not ready within {format_duration(self.start_seconds)}"
                said += f" because {why}" if why else ""
                raise ServerDidNotStart(self.name, said, self.log)
            self.pause(0.02)

    def stop(self) -> None:
        """Send its stop signal, wait, and kill it if it does not end; do nothing if it is gone."""
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
        """Send SIGKILL to its process group, as a machine failure would, and wait for its end."""
        if self._child is not None:
            pidfile.kill_group(self._child.pid)
            self._child.wait()

    def freeze(self) -> None:
        """Suspend it: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue a suspended process."""
        os.kill(self.pid, signal.SIGCONT)

    def last_words(self) -> str:
        """Return the line of its log, since its start, that best explains a failure."""
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
            if self.log.stat().st_size > _MAX_LOG_BYTES:
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
