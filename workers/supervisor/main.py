"""``python -m workers``: keep the pools alive and run the periodic jobs.

The main thread watches the pools and handles signals. One thread runs the periodic jobs that need
Redis alone (announce, sweep, watchdogs), so the worker is seen while PostgreSQL is frozen. Others
probe PostgreSQL, run the jobs that need it, end time-limited access, and publish entitlement
changes. No thread holds an event, so a supervisor may die at any moment. Its pools then end too,
and another supervisor takes over within seconds.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Engine

from runtime.broker import WakePublisher, fetch_wake_publisher, make_celery
from runtime.changes.numbering import number_waiting
from runtime.data_loss.check import check_data
from runtime.database.engine import make_engine, make_probe_engine
from runtime.guard import Guard
from runtime.history.reports import Report, inbox_report
from runtime.history.writer import HistoryWriter, start_history
from runtime.inbox.api_requests import ApiRequests
from runtime.inbox.durability import refuse_cluster
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox, new_token
from runtime.inbox.recent import RecentEvents
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.archive_updates import ArchiveUpdates
from runtime.ledger.maintenance.outdated import OutdatedFacts
from runtime.ledger.maintenance.reproject import project_due
from runtime.ledger.prepare import Scope
from runtime.metrics_files import InstanceRunning, claimed_folder, fold_dead
from runtime.metrics_room import FOLDER_PREFIX
from runtime.redis_client import make_redis
from runtime.settings import Settings, SettingsError, required
from runtime.telemetry import (
    DiskCollector,
    Metrics,
    SharedStateCollector,
    build_metrics,
    configure_logging,
    render,
)
from runtime.time_limits import (
    ARCHIVE_UPDATES_LOOK_SECONDS,
    BULK_LOOK_SECONDS,
    DATA_WATCH_SECONDS,
    FACTS_UPGRADE_LOOK_SECONDS,
    FALLBACK_AFTER_SECONDS,
    GRACE_SECONDS,
    HISTORY_REDIS_SECONDS,
    POOL_LOOK_SECONDS,
    RECONCILE_LOOK_SECONDS,
    SUPERVISOR_REDIS_SECONDS,
    THREAD_STOP_SECONDS,
)
from workers.liveness import FALLBACK_PULSE_VARIABLE, PULSE_VARIABLE, Pulse, orphaned_claims
from workers.shutdown import stop_signals
from workers.supervisor.access_expiry import AccessExpiry
from workers.supervisor.change_numbering import ChangeNumbering
from workers.supervisor.child_processes import FallbackProcess, PoolProcess
from workers.supervisor.conflicts import ConflictMover
from workers.supervisor.data_watch import DataWatch
from workers.supervisor.database_probe import DatabaseProbe, probe_events
from workers.supervisor.ending_soon import EndingSoon
from workers.supervisor.expired_keys import KeyRemoval
from workers.supervisor.fetch_watch import FetchWatch
from workers.supervisor.job_processes import JobProcesses
from workers.supervisor.loop_progress import LoopProgress
from workers.supervisor.marker_eviction import evict_markers
from workers.supervisor.metrics_server import MetricsServer
from workers.supervisor.periodic_jobs import PeriodicJobs
from workers.supervisor.plan_bootstrap import PlanBootstrap
from workers.supervisor.reconcile_process import ReconcileProcess
from workers.supervisor.shared_state import (
    DatabaseStateCache,
    SharedStateReader,
    read_database_state,
)
from workers.supervisor.start_check import reason_to_refuse
from workers.supervisor.sweeper import Sweeper, SweeperLease
from workers.supervisor.watchdog import Watchdog
from workers.supervisor.work_in_steps import WorkInSteps
from workers.supervisor.zombies import ZombieReaper

log = structlog.get_logger(__name__)

POOL_COMMAND: Final = (sys.executable, "-m", "workers.drain.pool")
FETCH_POOL_COMMAND: Final = (sys.executable, "-m", "workers.fetch.pool")
FALLBACK_COMMAND: Final = (sys.executable, "-m", "workers.drain.fallback")

_POOLS: Final = "pools"
_REDIS_JOBS: Final = "jobs that ask Redis"

MAX_WORKERS: Final = 64
FOLD_EVERY_SECONDS: Final = 10.0


def main(pool_command: Sequence[str] = POOL_COMMAND) -> int:
    """Supervise until a signal; return the exit code: 0 stopped, 1 taken, 2 unusable settings."""
    try:
        settings = Settings.from_env(os.environ)
        required(settings.database_url, "DATABASE_URL")
        required(settings.redis_url, "REDIS_URL")
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(sys.stderr, level=settings.log_level)
    if (reason := reason_to_refuse(settings)) is not None:
        sys.stderr.write(f"DATABASE_URL: {reason}\n")
        return 2
    try:
        with metrics_folder(settings) as folder, stop_signals() as stop_asked:
            return Supervisor(settings, folder, pool_command).run(stop_asked)
    except InstanceRunning as error:
        sys.stderr.write(f"{error}\n")
        return 1


class Supervisor:
    """The pools and the jobs around them; ``folder`` holds the metrics of all its processes."""

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
            FALLBACK_PULSE_VARIABLE: str(folder / "pulse-fallback"),
        }
        self._pool = PoolProcess(pool_command, environ, time.monotonic)
        self._fetch_pool = self._fetch_pool_if_key(folder / "pulse-fetch")
        self._fallback = FallbackProcess(FALLBACK_COMMAND, environ, time.monotonic)
        self._zombies = ZombieReaper(self._own_processes, time.monotonic)
        self._progress = LoopProgress(time.monotonic, _POOLS, _REDIS_JOBS)
        self._connect()
        self._watchdog = watchdog or Watchdog(time.monotonic)
        self._fallback_watchdog = Watchdog(time.monotonic, FALLBACK_AFTER_SECONDS)
        self._pool_stuck = False
        self._fallback_due = False
        self._leads = False
        self._redis_fits = False
        self._stopping = False
        self._stopped = threading.Event()
        self._folded_at = time.monotonic()

    def _fetch_pool_if_key(self, pulse: Path) -> PoolProcess | None:
        """Return the pool that asks Stripe's API, or None without an API key."""
        if self._settings.stripe_api_key is None:
            return None
        environ = {**os.environ, PULSE_VARIABLE: str(pulse)}
        return PoolProcess(FETCH_POOL_COMMAND, environ, time.monotonic)

    def _own_processes(self) -> tuple[int | None, ...]:
        pools = (self._pool, self._fetch_pool, self._fallback)
        running = (pool.pid for pool in pools if pool is not None)
        return (*running, *self._jobs.pids, *self._reconcile.pids)

    def _connect(self) -> None:
        """Build clients and engines; none connects yet, so servers may start later."""
        redis = make_redis(self._settings, timeout=SUPERVISOR_REDIS_SECONDS, pool_size=8)
        self._engine = engine = make_engine(self._settings, application_name="paidup-supervisor")
        self._probe_engine = make_probe_engine(self._settings, application_name="paidup-probe")
        self._redis = redis
        self._inbox = Inbox(redis)
        self._lease = SweeperLease(self._inbox.lead)
        wakes = WakePublisher(make_celery(self._settings, role="publisher"))
        self._sweeper = Sweeper(self._inbox, wakes.publish)
        self._probe = DatabaseProbe(
            self._inbox,
            partial(probe_events, self._probe_engine),
            lambda: self._leads,
            time.monotonic,
        )
        self._conflicts = ConflictMover(self._inbox, engine, lambda: self._leads, time.monotonic)
        self._key_removal = KeyRemoval(engine, lambda: self._leads, time.monotonic)
        self._ending_soon = EndingSoon(engine, lambda: self._leads, time.monotonic)
        self._fetch_watch = FetchWatch(
            FetchLane(redis, at_once=self._settings.fetch_at_once),
            # Its own publisher: a publisher sends for one thread at a time.
            fetch_wake_publisher(make_celery(self._settings, role="publisher")),
            time.monotonic,
        )
        self._plan_bootstrap = PlanBootstrap(engine, self._settings.plans_path, time.monotonic)
        metrics = build_metrics()
        # Its own connections: numbering and the periodic jobs must not wait for each other.
        self._numbering_engine = make_engine(self._settings, application_name="paidup-numbering")
        self._numbering = ChangeNumbering(
            partial(number_waiting, self._numbering_engine), lambda: self._leads
        )
        self._expiry_engine = make_engine(self._settings, application_name="paidup-expiry")
        self._expiry = self._make_expiry(self._expiry_engine)
        self._facts_engine = make_engine(self._settings, application_name="paidup-facts-upgrade")
        self._facts_upgrade = self._make_facts_upgrade(self._facts_engine)
        self._archive_updates = self._make_archive_updates()
        self._jobs = JobProcesses(engine, lambda: self._leads, time.monotonic)
        self._reconcile = ReconcileProcess(engine, self._settings, lambda: self._leads)
        self._data_watch = self._make_data_watch(metrics)
        self._database_state = DatabaseStateCache(
            partial(read_database_state, engine, reconciles=self._settings.reconciles)
        )
        self._history = self._make_history()
        self._metrics_server = self._make_metrics_server(metrics)

    def _make_metrics_server(self, metrics: Metrics) -> MetricsServer:
        shared = SharedStateCollector(
            SharedStateReader(
                self._inbox.backlog,
                self._database_state.state,
                ApiRequests(self._inbox.client).numbers,
            )
        )
        bind, disks = self._settings.worker_metrics_bind, DiskCollector(self._settings.data_dir)
        return MetricsServer(
            bind, lambda: render(metrics, shared, disks), self._progress.reason_to_restart
        )

    def _make_expiry(self, engine: Engine) -> AccessExpiry:
        return AccessExpiry(
            partial(project_due, engine, CatalogueCache()),
            lambda: self._leads,
            time.monotonic,
            lambda: self._stopping,
        )

    def _make_facts_upgrade(self, engine: Engine) -> WorkInSteps:
        """Return the job, with connections of its own: a long past takes long to read."""
        return WorkInSteps(
            OutdatedFacts(engine=engine, scope=Scope.of(self._settings)).read_next,
            lambda: self._leads,
            time.monotonic,
            lambda: self._stopping,
            look_seconds=FACTS_UPGRADE_LOOK_SECONDS,
            began="reading again what an earlier release read",
            ended="read again all that an earlier release read",
        )

    def _make_archive_updates(self) -> WorkInSteps:
        """Return the job, with connections of its own: it may go on for minutes."""
        self._archives_engine = make_engine(
            self._settings, application_name="paidup-archive-updates"
        )
        return WorkInSteps(
            ArchiveUpdates(engine=self._archives_engine).do_next,
            lambda: self._leads,
            time.monotonic,
            lambda: self._stopping,
            look_seconds=ARCHIVE_UPDATES_LOOK_SECONDS,
            began="updating archives in steps",
            ended="updated archives in steps",
        )

    def _make_data_watch(self, metrics: Metrics) -> DataWatch:
        """Return the watch, with connections and a publisher of its own."""
        self._watch_engine = make_engine(self._settings, application_name="paidup-data-watch")
        recent = RecentEvents(self._redis, replicas=self._settings.redis_replicas)
        return DataWatch(
            partial(check_data, recent, self._watch_engine),
            leads=lambda: self._leads,
            publish=WakePublisher(make_celery(self._settings, role="publisher")).publish,
            unregister=self._inbox.unregister,
            drop_connections=self._watch_engine.dispose,
            metrics=metrics,
        )

    def _make_history(self) -> HistoryWriter:
        """Return the writer of what the supervisor that leads knows, with its own connection."""
        redis = make_redis(self._settings, timeout=HISTORY_REDIS_SECONDS, pool_size=1)
        inbox = Inbox(redis)

        def read() -> Report | None:
            if not self._leads:
                return None
            return inbox_report(inbox.backlog(), self._database_state.state().dead_letters)

        return HistoryWriter(redis, "leader", read)

    def run(self, stop_asked: Callable[[], bool]) -> int:
        """Watch the pools until a stop, while other threads run the jobs; return the exit code."""
        threads = self._job_threads()
        self._metrics_server.start()
        start_history(self._history, self._stopped)
        for thread in (*threads, self._numbering):
            thread.start()
        orphans, pools, zombies = Guard("orphaned claims"), Guard("pools"), Guard("zombies")
        while not stop_asked():
            self._progress.move(_POOLS)
            orphans.run(self._release_orphans)
            pools.run(self._watch_pools)
            zombies.run(self._zombies.reap_if_due)
            time.sleep(POOL_LOOK_SECONDS)
        self._stop(threads)
        return 0

    def _job_threads(self) -> tuple[PeriodicJobs, ...]:
        """Return the threads of the periodic jobs; the first one never waits for PostgreSQL.

        The probe has its own, so that nothing delays the moment at which workers may continue.
        """
        database = (
            # First, because an error of Redis ends the run, and says nothing of PostgreSQL.
            self._database_state.refresh,
            self._plan_bootstrap.provide,
            self._conflicts.move,
            self._key_removal.remove,
            self._ending_soon.announce,
        )
        return (
            PeriodicJobs(
                (
                    partial(self._progress.move, _REDIS_JOBS),
                    self._check_redis,
                    self._announce,
                    self._lead,
                    self._watch,
                    self._fold,
                )
            ),
            PeriodicJobs((self._probe.run_if_open,), name="database-probe"),
            PeriodicJobs(database, name="database-jobs"),
            PeriodicJobs((self._expiry.run_if_due,), name="access-expiry"),
            PeriodicJobs((self._jobs.keep_running,), BULK_LOOK_SECONDS, "job-processes"),
            PeriodicJobs((self._reconcile.start_if_due,), RECONCILE_LOOK_SECONDS, "reconcile"),
            PeriodicJobs((self._facts_upgrade.run_if_due,), name="facts-upgrade"),
            PeriodicJobs(
                (self._archive_updates.run_if_due,),
                ARCHIVE_UPDATES_LOOK_SECONDS,
                "archive-updates",
            ),
            PeriodicJobs((self._data_watch.run_if_leading,), DATA_WATCH_SECONDS, "data-watch"),
        )

    def _watch_pools(self) -> None:
        if self._pool_stuck:
            log.error("worker pool is stuck: events are due and it claims none", pid=self._pool.pid)
            self._pool.restart()
            self._pool_stuck = False
        self._pool.keep_alive()
        if self._fetch_pool is not None:
            if self._fetch_watch.is_stuck:
                log.error(
                    "fetch pool is stuck: events wait and it claims none", pid=self._fetch_pool.pid
                )
                self._fetch_pool.restart()
                self._fetch_watch.is_stuck = False
            self._fetch_pool.keep_alive()
        if self._fallback_due:
            self._fallback.start()
            self._fallback_due = False
        self._fallback.check()

    def _release_orphans(self) -> None:
        # While Redis is unreachable the file stays; at the latest the lease ends the claim.
        with suppress(RedisError):
            for claim_file, token in orphaned_claims(self._folder):
                if token:
                    self._sweeper.release_orphan(token)
                claim_file.unlink()

    def _stop(self, threads: Sequence[PeriodicJobs]) -> None:
        log.info("stopping", pool=self._pool.pid)
        self._progress.end()
        self._stopping = True
        self._stopped.set()
        for thread in threads:
            thread.ask_to_stop()
        self._fallback.ask_to_stop()
        if self._fetch_pool is not None:
            self._fetch_pool.ask_to_stop()
        if not self._pool.stop(GRACE_SECONDS):
            log.warning("worker pool killed: it did not end in time", seconds=GRACE_SECONDS)
        if self._fetch_pool is not None and not self._fetch_pool.stop(GRACE_SECONDS):
            log.warning("fetch pool killed: it did not end in time", seconds=GRACE_SECONDS)
        self._fallback.stop(GRACE_SECONDS)
        for thread in threads:
            thread.join(THREAD_STOP_SECONDS)
        self._jobs.stop(THREAD_STOP_SECONDS)
        self._reconcile.stop(THREAD_STOP_SECONDS)
        # After the pools, so that the changes of their last batches are published too.
        self._numbering.ask_to_stop()
        self._numbering.join(THREAD_STOP_SECONDS)
        self._metrics_server.stop()
        self._engine.dispose()
        self._probe_engine.dispose()
        self._expiry_engine.dispose()
        self._numbering_engine.dispose()
        self._watch_engine.dispose()
        self._facts_engine.dispose()
        self._archives_engine.dispose()
        with suppress(RedisError):
            self._inbox.announce(self._worker_id, 0)
            self._lease.release()
        log.info("stopped")

    def _check_redis(self) -> None:
        """Name a server that can never hold the inbox, instead of the errors that follow."""
        if not self._redis_fits:
            refuse_cluster(self._redis)
            self._redis_fits = True

    def _announce(self) -> None:
        self._inbox.announce(self._worker_id, self._settings.worker_processes)

    def _lead(self) -> None:
        self._leads = self._lease.hold()
        if self._leads:
            self._sweeper.sweep()
            evict_markers(self._redis.info, self._inbox.drop_done_markers)

    def _watch(self) -> None:
        backlog = self._inbox.backlog()
        due = backlog.breaker is None and backlog.waiting_seconds > 0
        # Without its file a pulse says nothing; the counter of claims does, for all workers.
        kept = self._pulse.is_kept()
        pulse = self._pulse.last() if kept else float(backlog.counters.get("claimed", 0))
        if self._watchdog.is_stuck(due=due, pulse=pulse):
            self._pool_stuck = True
        if self._fallback_watchdog.is_stuck(due=due, pulse=pulse):
            self._fallback_due = True
        if self._fetch_pool is not None:
            self._fetch_watch.check(backlog)

    def _fold(self) -> None:
        if time.monotonic() - self._folded_at >= FOLD_EVERY_SECONDS:
            fold_dead(self._folder)
            self._folded_at = time.monotonic()


@contextmanager
def metrics_folder(settings: Settings) -> Iterator[Path]:
    """Claim a folder that no other running worker has, named by the port and maybe a number."""
    first = settings.data_dir / f"{FOLDER_PREFIX}worker-{settings.worker_metrics_bind.port}"
    with ExitStack() as stack:
        for suffix in ("", *(f"-{number}" for number in range(2, MAX_WORKERS))):
            with suppress(InstanceRunning):
                folder = stack.enter_context(
                    claimed_folder(first.with_name(first.name + suffix), os.environ)
                )
                break
        else:
            raise InstanceRunning(first)
        yield folder
