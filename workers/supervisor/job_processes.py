"""Run the plans that people started, each by ``paidup jobs run`` as a process of its own.

The supervisor that leads looks for plans to preview or to run that no living process works on, and
starts the command for each. If one dies, its lease ends and it is started again, here or by another
supervisor; it goes on where it was.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from models.bulk import LEASED_STATES
from models.tables import BulkPlan
from runtime.failures.classify import classify
from runtime.time_limits import BULK_AGAIN_SECONDS, BULK_LEASE_SECONDS
from workers.supervisor.command_process import end_command, start_command

log = structlog.get_logger(__name__)

JOB_COMMAND: Final = (sys.executable, "-m", "paidup", "jobs", "run", "--go-on")
"""Only people start a plan: until the process has begun, a preview may be over or stopped."""

MAX_JOBS: Final = 2
_LEASE: Final = timedelta(seconds=BULK_LEASE_SECONDS)
_NOT_HELD: Final = BulkPlan.owner.is_(None) | (BulkPlan.heartbeat_at < sa.func.now() - _LEASE)


class JobProcesses:
    """A periodic job; ``clock`` is monotonic seconds."""

    def __init__(
        self,
        engine: Engine,
        leads: Callable[[], bool],
        clock: Callable[[], float],
        command: Sequence[str] = JOB_COMMAND,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._engine = engine
        self._leads = leads
        self._clock = clock
        self._command = tuple(command)
        self._environ = environ
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._not_before: dict[int, float] = {}

    def keep_running(self) -> None:
        """Notice processes that ended, and start those that are due."""
        for plan, process in [*self._running.items()]:
            if (code := process.poll()) is not None:
                log.info("job ended", plan=plan, pid=process.pid, code=code)
                del self._running[plan]
        if not self._leads():
            return
        try:
            due = self._due()
        except SQLAlchemyError as error:
            log.warning("cannot look for jobs", reason=classify(error).reason)
            return
        for plan in due:
            if len(self._running) < MAX_JOBS and self._may_start(plan):
                self._start(plan)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of those that run."""
        return tuple(process.pid for process in [*self._running.values()])

    def stop(self, grace_seconds: float) -> None:
        """End all processes; their plans go on with the next supervisor."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            end_command(process, grace_seconds)

    def _due(self) -> list[int]:
        query = sa.select(BulkPlan.id).where(BulkPlan.state.in_(LEASED_STATES), _NOT_HELD)
        with self._engine.connect() as connection:
            return [*connection.scalars(query.order_by(BulkPlan.id))]

    def _may_start(self, plan: int) -> bool:
        """Return True unless it runs, or was started so recently that it must have failed."""
        return plan not in self._running and self._clock() >= self._not_before.get(plan, 0.0)

    def _start(self, plan: int) -> None:
        process = start_command([*self._command, str(plan)], self._environ)
        self._running[plan] = process
        self._not_before[plan] = self._clock() + BULK_AGAIN_SECONDS
        log.info("job started", plan=plan, pid=process.pid)
