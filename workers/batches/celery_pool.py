"""A pool of Celery: its main process, and what each of its children needs to drain."""

import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import (
    setup_logging,
    worker_process_init,
    worker_ready,
    worker_shutting_down,
)
from redis import Redis
from sqlalchemy.engine import Engine

from billing.readers.registry import HANDLED_TYPES
from runtime.broker import (
    DRAIN_TASK,
    make_celery,
)
from runtime.database.engine import make_engine
from runtime.failures.canary import Canary
from runtime.gc_tuning import reduce_gc
from runtime.history.writer import start_history
from runtime.ledger.deployment import ledger_of
from runtime.ledger.observed import with_stored_fetches
from runtime.parent_watch import end_with_parent, take_parent
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.telemetry import Metrics, build_metrics, configure_logging
from runtime.time_limits import GRACE_SECONDS, WORKER_REDIS_SECONDS
from workers.batches.counting import history_writer
from workers.batches.drainer import Drainer
from workers.batches.executor import BatchExecutor
from workers.batches.routing import FetchRouting
from workers.liveness import PULSE_VARIABLE, Pulse
from workers.shutdown import EndAfterBatch, StopFlag


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """One kind of pool: its task and queue, its number of children, and their drainer."""

    name: str
    task: str
    queue: str
    processes: Callable[[Settings], int]
    build: "Callable[[ChildContext], Drainer]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildContext:
    """Settings and connections of one pool child, made after the fork."""

    settings: Settings
    redis: Redis
    engine: Engine
    is_stopping: Callable[[], bool]
    pulse: Pulse
    metrics: Metrics


def run(spec: PoolSpec) -> None:
    """Run the main process of a pool."""
    end_with_parent(take_parent(os.environ), grace_seconds=GRACE_SECONDS)
    settings = Settings.from_env(os.environ)
    configure_logging(sys.stderr, level=settings.log_level)
    _quiet_celery()
    celery = make_celery(settings, role="worker")
    _prepare(celery, settings, spec, Path(os.environ[PULSE_VARIABLE]))
    celery.worker_main(_arguments(settings, spec))


def _quiet_celery() -> None:
    """Turn off Celery's two lines for each wake-up; Paidup logs one line for each event."""
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Celery warns root about pickled messages; Paidup accepts JSON only.
    warnings.simplefilter("ignore", SecurityWarning)


def _arguments(settings: Settings, spec: PoolSpec) -> list[str]:
    return [
        "--quiet",
        "worker",
        "--pool=prefork",
        f"--concurrency={spec.processes(settings)}",
        f"--queues={spec.queue}",
        f"--hostname=paidup-{spec.name}-{os.getpid()}@%h",
        f"--loglevel={settings.log_level}",
        "--without-gossip",
        "--without-mingle",
    ]


def _prepare(celery: Celery, settings: Settings, spec: PoolSpec, pulse: Path) -> None:
    flag = StopFlag()
    task = _PoolTask(flag)
    main_process = os.getpid()
    register_task(celery, task, task=spec.task)

    def keep_our_logging(**_: Any) -> None:
        """Do nothing: Celery configures no loggers once this signal has a receiver."""

    def connect(**_: Any) -> None:
        end_with_parent(main_process, grace_seconds=GRACE_SECONDS)
        metrics = build_metrics(event_types=HANDLED_TYPES)
        task.drainer = spec.build(
            ChildContext(
                settings=settings,
                redis=make_redis(settings, timeout=WORKER_REDIS_SECONDS, pool_size=4),
                engine=make_engine(settings, application_name=f"paidup-{spec.name}-{os.getpid()}"),
                is_stopping=task.is_stopping,
                pulse=Pulse(pulse),
                metrics=metrics,
            )
        )
        start_history(history_writer(settings, metrics))
        reduce_gc()

    def stop_soon(**_: Any) -> None:
        flag.raise_()

    def treat_hangup_as_stop(**_: Any) -> None:
        # Celery would restart the pool by itself; the supervisor does that.
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))

    setup_logging.connect(keep_our_logging, weak=False)
    worker_process_init.connect(connect, weak=False)
    worker_ready.connect(treat_hangup_as_stop, weak=False)
    worker_shutting_down.connect(stop_soon, weak=False)


def register_task(celery: Celery, drain: Callable[[str], None], *, task: str = DRAIN_TASK) -> None:
    """Register the task of a pool; ``drain`` is called in a pool child with the wake-up token.

    A lost or duplicated message loses no event, so the task is never retried.
    """

    @celery.task(name=task, ignore_result=True)
    def drain_inbox(token: str) -> None:
        drain(token)


class _PoolTask:
    """The body of the pool's task; its drainer exists only in a child, after the fork."""

    drainer: Drainer | None = None

    def __init__(self, flag: StopFlag) -> None:
        self._flag = flag
        self._ending = EndAfterBatch(flag.is_raised)

    def __call__(self, wake: str) -> None:
        assert self.drainer is not None, "the main process got a task"  # noqa: S101 - Celery's part
        with self._ending.busy():
            self.drainer.run(wake)

    def is_stopping(self) -> bool:
        """Return True if the pool stops, or this process alone."""
        return self._flag.is_raised() or self._ending.is_asked()


def build_executor(settings: Settings, engine: Engine) -> BatchExecutor:
    """Return the executor for the configured modes and accounts."""
    return BatchExecutor(
        record=ledger_of(settings, engine).record,
        with_stored_fetches=partial(with_stored_fetches, engine),
        now=utc_now,
        chance=random.random,
        routing=FetchRouting.of(settings),
        ask_canary=Canary(engine).fault_alike,
    )


def utc_now() -> datetime:
    """Return the time of this machine, used for backoffs only."""
    return datetime.now(UTC)
