"""``python -m workers.drain.pool``: the Celery worker whose children drain the inbox.

Started and watched by the supervisor. The main process only hands wake-ups to its children;
connections are opened in each child, after the fork.
"""

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
    QUEUE,
    Wakes,
    make_celery,
    wakes_for_fetching,
)
from runtime.database.engine import make_engine
from runtime.failures.dead_letters import bury
from runtime.gc_tuning import spare_the_collector
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox
from runtime.ledger.record import Ledger
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.telemetry import build_metrics, configure_logging
from workers.drain.drainer import LONGEST_RUN_SECONDS, Drainer
from workers.drain.executor import Applier
from workers.drain.finisher import Deferring, Orders
from workers.drain.reporting import Reporter
from workers.drain.routing import Errands
from workers.liveness import PULSE_VARIABLE, REDIS_TIMEOUT_SECONDS, Pulse, Will
from workers.shutdown import EndAfterBatch, StopFlag, stop_with_parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """A pool's children: which wake-ups they heed, how many there are, what they drain with."""

    name: str
    task: str
    queue: str
    processes: Callable[[Settings], int]
    build: "Callable[[Child], Drainer]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What a child has after the fork."""

    settings: Settings
    redis: Redis
    engine: Engine
    is_stopping: Callable[[], bool]
    pulse: Pulse


def main() -> None:
    """Drain until a SIGTERM, or until the supervisor is gone; ends the process."""
    run(
        Crew(
            name="worker",
            task=DRAIN_TASK,
            queue=QUEUE,
            processes=lambda settings: settings.worker_processes,
            build=_drainer_of,
        )
    )


def run(crew: Crew) -> None:
    """Be the main process of a pool."""
    parent = os.getppid()
    settings = Settings.from_env(os.environ)
    configure_logging(sys.stderr, level=settings.log_level)
    _quiet_celery()
    stop_with_parent(parent)
    celery = make_celery(settings, role="worker")
    _prepare(celery, settings, crew, Path(os.environ[PULSE_VARIABLE]))
    celery.worker_main(_arguments(settings, crew))


def _quiet_celery() -> None:
    """Two lines for each wake-up say nothing that our own line for each event does not."""
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns root of pickled messages; we take JSON only.
    warnings.simplefilter("ignore", SecurityWarning)


def _arguments(settings: Settings, crew: Crew) -> list[str]:
    return [
        "--quiet",
        "worker",
        "--pool=prefork",
        f"--concurrency={crew.processes(settings)}",
        f"--queues={crew.queue}",
        f"--hostname=paidup-{crew.name}-{os.getpid()}@%h",
        f"--loglevel={settings.log_level}",
        "--without-gossip",
        "--without-mingle",
    ]


def _prepare(celery: Celery, settings: Settings, crew: Crew, pulse: Path) -> None:
    flag = StopFlag()
    drain = _InChild(flag)
    register(celery, drain, task=crew.task)

    def keep_our_logging(**_: Any) -> None:
        """Celery leaves the loggers alone as soon as anybody listens."""

    def connect(**_: Any) -> None:
        drain.drainer = crew.build(
            Child(
                settings=settings,
                redis=make_redis(settings, timeout=REDIS_TIMEOUT_SECONDS, pool_size=4),
                engine=make_engine(settings, application_name=f"paidup-{crew.name}-{os.getpid()}"),
                is_stopping=drain.stops,
                pulse=Pulse(pulse),
            )
        )
        spare_the_collector()

    def stop_soon(**_: Any) -> None:
        flag.raise_()

    def hang_up_softly(**_: Any) -> None:
        # Celery would start the pool anew in its own place; the supervisor does that.
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))

    setup_logging.connect(keep_our_logging, weak=False)
    worker_process_init.connect(connect, weak=False)
    worker_ready.connect(hang_up_softly, weak=False)
    worker_shutting_down.connect(stop_soon, weak=False)


class _InChild:
    """What the task calls; the drainer behind it exists only in a child, after the fork."""

    drainer: Drainer | None = None

    def __init__(self, flag: StopFlag) -> None:
        self._flag = flag
        self._ending = EndAfterBatch(flag.is_raised)

    def __call__(self, wake: str) -> None:
        assert self.drainer is not None, "the main process got a task"  # noqa: S101 - Celery's part
        with self._ending.busy():
            self.drainer.run(wake)

    def stops(self) -> bool:
        """Whether the pool stops, or this process alone."""
        return self._flag.is_raised() or self._ending.is_asked()


def _drainer_of(child: Child) -> Drainer:
    return build_drainer(
        child.settings, Inbox(child.redis), child.engine, child.is_stopping, child.pulse
    )


def build_drainer(
    settings: Settings,
    inbox: Inbox,
    engine: Engine,
    is_stopping: Callable[[], bool],
    pulse: Pulse,
    *,
    longest_run_seconds: float = LONGEST_RUN_SECONDS,
) -> Drainer:
    """Everything a process drains with; inbox and engine must be made after a fork.

    Beside the pulse's file it keeps its will.
    """
    lane = FetchLane.beside(inbox, at_once=settings.fetch_at_once)
    publisher = make_celery(settings, role="publisher")
    return Drainer(
        inbox=inbox,
        applier=applier_of(settings, ledger_of(settings, engine)),
        orders=Orders(
            inbox=inbox,
            bury=partial(bury, engine),
            reporter=Reporter(build_metrics(event_types=HANDLED_TYPES)),
            now=utc_now,
            deferring=Deferring(lane=lane, publish=wakes_for_fetching(publisher)),
        ),
        publish=Wakes(publisher).publish,
        is_stopping=is_stopping,
        moved=pulse.beat,
        naming=Will(pulse.folder).naming,
        longest_run_seconds=longest_run_seconds,
    )


def ledger_of(settings: Settings, engine: Engine) -> Ledger:
    """The ledger of the modes and accounts that count."""
    livemode, accounts = settings.effective_livemode(), settings.connect_accounts
    return Ledger(engine, livemode=livemode, accounts=accounts)


def applier_of(settings: Settings, ledger: Ledger) -> Applier:
    """What records, by the real clock and real chance."""
    errands = Errands.of(settings)
    return Applier(recorder=ledger, now=utc_now, chance=random.random, errands=errands)


def utc_now() -> datetime:
    """Our clock, for backoffs only."""
    return datetime.now(UTC)


if __name__ == "__main__":
    main()


def register(celery: Celery, drain: Callable[[str], None], *, task: str = DRAIN_TASK) -> None:
    """Teach a Celery application to drain; ``drain`` is called in a pool child with the wake-up.

    A message that is lost or doubled costs nothing, so none is ever retried.
    """

    @celery.task(name=task, ignore_result=True)
    def drain_inbox(token: str) -> None:
        drain(token)
