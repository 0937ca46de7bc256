"""``python -m workers``: keeps a pool of drainers alive, and does what must happen in time.

Three loops: the main thread guards the pool and obeys signals; a second thread does the rounds
(announce, sweep, probe, timed commands, watchdog); a third tells readers what changed. None holds
an event, so a supervisor may die at any moment; its pool then ends too, and another one takes over
within seconds.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from redis.exceptions import RedisError

from runtime.broker import Wakes, make_celery, wakes_for_fetching
from runtime.changes.relay import Relay
from runtime.changes.stream import ChangeStream
from runtime.database.engine import make_engine
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox, new_token
from runtime.metrics_files import InstanceRunning, claimed_folder, fold_dead
from runtime.redis_client import make_redis
from runtime.settings import Settings, SettingsError, required
from runtime.telemetry import SharedStateCollector, build_metrics, configure_logging, render
from workers.liveness import FALLBACK_PULSE_VARIABLE, PULSE_VARIABLE, Pulse, of_the_dead
from workers.shutdown import GRACE_SECONDS, stop_signals
from workers.supervisor.change_relay import Relaying
from workers.supervisor.child_processes import PoolProcess, StandInProcess
from workers.supervisor.fetch_watch import FetchGuard
from workers.supervisor.marker_eviction import make_room
from workers.supervisor.metrics_server import MetricsServer
from workers.supervisor.periodic_jobs import Rounds
from workers.supervisor.plan_bootstrap import FirstPlans
from workers.supervisor.schedule import Schedule
from workers.supervisor.shared_state import StateReader, read_books
from workers.supervisor.sweeper import Sweeper, SweeperLock
from workers.supervisor.watchdog import Watchdog

log = structlog.get_logger(__name__)

POOL_COMMAND: Final = (sys.executable, "-m", "workers.drain.pool")
FETCH_POOL_COMMAND: Final = (sys.executable, "-m", "workers.fetch.pool")
STAND_IN_COMMAND: Final = (sys.executable, "-m", "workers.drain.fallback")

STAND_IN_AFTER_SECONDS: Final = 10.0
"""Long enough for a pool to start, short enough that a full Redis is no outage."""

LOOK_SECONDS: Final = 0.1
JOIN_SECONDS: Final = 5.0
REDIS_TIMEOUT_SECONDS: Final = 2.0
MOST_WORKERS: Final = 64
FOLD_EVERY_SECONDS: Final = 10.0


def main(pool_command: Sequence[str] = POOL_COMMAND) -> int:
    """Supervise until a signal to stop; the exit code: 0 stopped, 1 broke, 2 wrong settings."""
    try:
        settings = Settings.from_env(os.environ)
        required(settings.database_url, "DATABASE_URL")
        required(settings.redis_url, "REDIS_URL")
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(sys.stderr, level=settings.log_level)
    try:
        with metrics_folder(settings) as folder, stop_signals() as stop_asked:
            return Supervisor(settings, folder, pool_command).run(stop_asked)
    except InstanceRunning as error:
        sys.stderr.write(f"{error}\n")
        return 1


class Supervisor:
    """One pool and the rounds around it; ``folder`` holds the metrics of all its processes."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        pool_command: Sequence[str],
        watchdog: Watchdog | None = None,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._worker_id = f"{socket.gethostname()}:{os.getpid()}:{new_token()}"
        self._pulse = Pulse(folder / "pulse")
        environ = {
            **os.environ,
            PULSE_VARIABLE: str(folder / "pulse"),
            FALLBACK_PULSE_VARIABLE: str(folder / "pulse-stand-in"),
        }
        self._pool = PoolProcess(pool_command, environ, time.monotonic)
        self._fetchers = self._fetchers_of(folder / "pulse-fetch")
        self._stand_in = StandInProcess(STAND_IN_COMMAND, environ, time.monotonic)
        self._connect()
        self._watchdog = watchdog or Watchdog(time.monotonic)
        self._relief = Watchdog(time.monotonic, STAND_IN_AFTER_SECONDS)
        self._schedule = Schedule(time.monotonic)
        self._stuck = False
        self._idle_pool = False
        self._leads = False
        self._folded_at = time.monotonic()

    def _fetchers_of(self, pulse: Path) -> PoolProcess | None:
        """The pool that asks Stripe's API, where there is a key to ask with."""
        if self._settings.stripe_api_key is None:
            return None
        environ = {**os.environ, PULSE_VARIABLE: str(pulse)}
        return PoolProcess(FETCH_POOL_COMMAND, environ, time.monotonic)

    def _connect(self) -> None:
        """Nothing is opened yet: every server may still be away when a worker starts."""
        redis = make_redis(self._settings, timeout=REDIS_TIMEOUT_SECONDS, pool_size=8)
        self._engine = engine = make_engine(self._settings, application_name="paidup-supervisor")
        self._redis = redis
        self._inbox = Inbox(redis)
        self._lock = SweeperLock(self._inbox)
        wakes = Wakes(make_celery(self._settings, role="publisher"))
        self._sweeper = Sweeper(self._inbox, wakes.publish, engine)
        self._fetch_guard = FetchGuard(
            FetchLane(redis, at_once=self._settings.fetch_at_once),
            # A publisher of its own: two threads may ring at once, and each takes its turn by one.
            wakes_for_fetching(make_celery(self._settings, role="publisher")),
            time.monotonic,
        )
        self._first_plans = FirstPlans(engine, self._settings.plans_path, time.monotonic)
        metrics = build_metrics()
        stream = ChangeStream(redis, length=self._settings.changes_stream_length)
        # Connections of its own: it must never wait for the rounds, nor they for it.
        self._relay_engine = make_engine(self._settings, application_name="paidup-relay")
        relay = Relay(engine=self._relay_engine, stream=stream, clock=time.monotonic)
        self._relaying = Relaying(relay, lambda: self._leads)
        state = StateReader(self._inbox, stream, partial(read_books, engine), time.monotonic)
        shared = SharedStateCollector(state)
        self._metrics_server = MetricsServer(
            self._settings.worker_metrics_bind, lambda: render(metrics, shared)
        )

    def run(self, stop_asked: Callable[[], bool]) -> int:
        """Guard the pool until a stop; a second thread does the rounds meanwhile."""
        rounds = Rounds(
            (self._announce, self._first_plans.provide, self._lead, self._watch, self._fold)
        )
        self._metrics_server.start()
        rounds.start()
        self._relaying.start()
        while rounds.is_alive() and not stop_asked():
            self._guard()
            time.sleep(LOOK_SECONDS)
        broke = not rounds.is_alive()
        self._stop(rounds)
        return 1 if broke else 0

    def _guard(self) -> None:
        self._see_to_the_dead()
        if self._stuck:
            log.error("worker pool does not move while events are due", pid=self._pool.pid)
            self._pool.restart()
            self._stuck = False
        self._pool.keep_alive()
        if self._fetchers is not None:
            if self._fetch_guard.is_stuck:
                log.error("fetch pool does not move while events wait", pid=self._fetchers.pid)
                self._fetchers.restart()
                self._fetch_guard.is_stuck = False
            self._fetchers.keep_alive()
        if self._idle_pool:
            self._stand_in.start()
            self._idle_pool = False
        self._stand_in.tend()

    def _see_to_the_dead(self) -> None:
        # A will that cannot be carried out now stays; at the latest the lease ends the claim.
        with suppress(RedisError):
            for will, token in of_the_dead(self._folder):
                if token:
                    self._sweeper.bereave(token)
                will.unlink()

    def _stop(self, rounds: Rounds) -> None:
        log.info("stopping", pool=self._pool.pid)
        rounds.ask_to_stop()
        self._stand_in.ask_to_stop()
        if self._fetchers is not None:
            self._fetchers.ask_to_stop()
        if not self._pool.stop(GRACE_SECONDS):
            log.warning("worker pool killed: it did not end in time", seconds=GRACE_SECONDS)
        if self._fetchers is not None and not self._fetchers.stop(GRACE_SECONDS):
            log.warning("fetch pool killed: it did not end in time", seconds=GRACE_SECONDS)
        self._stand_in.stop(GRACE_SECONDS)
        rounds.join(JOIN_SECONDS)
        # After the pool: what it settled last is published, too.
        self._relaying.ask_to_stop()
        self._relaying.join(JOIN_SECONDS)
        self._schedule.stop(JOIN_SECONDS)
        self._metrics_server.stop()
        self._engine.dispose()
        self._relay_engine.dispose()
        with suppress(RedisError):
            self._inbox.announce(self._worker_id, 0)
            self._lock.release()
        log.info("stopped")

    def _announce(self) -> None:
        self._inbox.announce(self._worker_id, self._settings.worker_processes)

    def _lead(self) -> None:
        self._leads = self._lock.hold()
        if self._leads:
            self._sweeper.sweep()
            make_room(self._redis, self._inbox)
            self._schedule.start_due()

    def _watch(self) -> None:
        backlog = self._inbox.backlog()
        due = backlog.breaker is None and backlog.waiting_seconds > 0
        pulse = self._pulse.last()
        if self._watchdog.is_stuck(due=due, pulse=pulse):
            self._stuck = True
        if self._relief.is_stuck(due=due, pulse=pulse):
            self._idle_pool = True
        if self._fetchers is not None:
            self._fetch_guard.look(backlog)

    def _fold(self) -> None:
        if time.monotonic() - self._folded_at >= FOLD_EVERY_SECONDS:
            fold_dead(self._folder)
            self._folded_at = time.monotonic()


@contextmanager
def metrics_folder(settings: Settings) -> Iterator[Path]:
    """A folder that no other running worker has: named by its port, else by a number too."""
    first = settings.data_dir / f"metrics-worker-{settings.worker_metrics_bind.port}"
    with ExitStack() as stack:
        for suffix in ("", *(f"-{number}" for number in range(2, MOST_WORKERS))):
            with suppress(InstanceRunning):
                folder = stack.enter_context(
                    claimed_folder(first.with_name(first.name + suffix), os.environ)
                )
                break
        else:
            raise InstanceRunning(first)
        yield folder
