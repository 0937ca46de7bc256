"""Run the supervisor's periodic jobs in a thread beside the one that watches the pools."""

import threading
from collections.abc import Callable, Sequence

import structlog
from redis.exceptions import RedisError

from runtime.error_text import describe
from runtime.guard import Guard
from runtime.inbox.durability import UnsupportedRedis
from runtime.time_limits import PERIOD_SECONDS

log = structlog.get_logger(__name__)


class PeriodicJobs(threading.Thread):
    """A thread that runs each job in turn, once a second, until it is stopped.

    An error of Redis ends this run of the jobs, and the next run tries again. Any other error
    ends the one job that raised it, is logged, and the next run tries that job again, too.
    """

    def __init__(
        self,
        jobs: Sequence[Callable[[], None]],
        period_seconds: float = PERIOD_SECONDS,
        name: str = "periodic-jobs",
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._jobs = tuple((job, Guard(f"{name}: {_named(job)}")) for job in jobs)
        self._period = period_seconds
        self._stop_asked = threading.Event()
        self._unreachable = False

    def run(self) -> None:
        """Run the jobs, the first time at once."""
        while True:
            self._run_once()
            if self._stop_asked.wait(self._period):
                return

    def ask_to_stop(self) -> None:
        """End after the current run of the jobs."""
        self._stop_asked.set()

    def _run_once(self) -> None:
        try:
            for job, guard in self._jobs:
                guard.run(job, passing=(RedisError,))
        except RedisError as error:
            if not self._unreachable:
                self._report(error)
            self._unreachable = True
        else:
            if self._unreachable:
                log.info("Redis is reachable again")
            self._unreachable = False

    def _report(self, error: RedisError) -> None:
        if isinstance(error, UnsupportedRedis):
            log.error("this Redis cannot be used", reason=str(error))
        else:
            log.warning("Redis is unreachable", error=describe(error))


def _named(job: Callable[[], None]) -> str:
    return getattr(job, "__name__", "job").strip("_")
