"""Compare with Stripe by schedule, by ``paidup reconcile --scheduled`` as a process of its own.

The supervisor that leads starts it when a loop is due (``runtime/reconciling.py``). Nothing waits
for it, and if it dies another one goes on where it was.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from runtime.failures.classify import classify
from runtime.reconciling import Loop, due_now
from runtime.settings import Settings
from runtime.time_limits import STRIPE_RUN_LEASE_SECONDS
from workers.supervisor.command_process import end_command, start_command

log = structlog.get_logger(__name__)

RECONCILE_COMMAND: Final = (sys.executable, "-m", "paidup", "reconcile", "--scheduled")

_LEASE: Final = timedelta(seconds=STRIPE_RUN_LEASE_SECONDS)


class ReconcileProcess:
    """A periodic job; one process at a time does everything that is due."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        leads: Callable[[], bool],
        command: Sequence[str] = RECONCILE_COMMAND,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._leads = leads
        self._command = tuple(command)
        self._environ = environ
        self._running: subprocess.Popen[bytes] | None = None

    def start_if_due(self) -> None:
        """Notice that the process ended, and start it if a loop is due."""
        if self._running is not None:
            if (code := self._running.poll()) is None:
                return
            log.info("reconciliation process ended", pid=self._running.pid, code=code)
            self._running = None
        if self._settings.reconciles and self._leads() and (due := self._due()):
            self._start(due)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process id, if it runs."""
        running = self._running
        return () if running is None else (running.pid,)

    def stop(self, grace_seconds: float) -> None:
        """End the process; its run goes on with the next supervisor."""
        if (running := self._running) is None:
            return
        running.terminate()
        end_command(running, grace_seconds)

    def _due(self) -> tuple[Loop, ...]:
        try:
            with self._engine.connect() as connection:
                return due_now(connection, self._settings, lease=_LEASE)
        except SQLAlchemyError as error:
            log.warning("cannot look for reconciliations", reason=classify(error).reason)
            return ()

    def _start(self, due: Sequence[Loop]) -> None:
        self._running = process = start_command(self._command, self._environ)
        loops = [f"{each.part} of {each.realm}" for each in due]
        log.info("reconciliation process started", pid=process.pid, due=loops)
