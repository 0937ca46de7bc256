"""``python -m workers.pool``: the Celery worker whose children drain the inbox.

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
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import (
    setup_logging,
    worker_process_init,
    worker_ready,
    worker_shutting_down,
)
from sqlalchemy.engine import Engine

from billing.registry import HANDLED_TYPES
from runtime.broker import Wakes, make_celery
from runtime.collector import spare_the_collector
from runtime.database import make_engine
from runtime.dead_letters import bury
from runtime.inbox.connect import make_redis
from runtime.inbox.inbox import Inbox
from runtime.ledger.record import Ledger
from runtime.settings import Settings
from runtime.telemetry import build_metrics, configure_logging
from workers.applying import Applier
from workers.drain import LONGEST_RUN_SECONDS, Drainer
from workers.orders import Orders
from workers.orphan import stop_with_parent
from workers.reporting import Reporter
from workers.stopping import EndAfterBatch, StopFlag
from workers.tasks import register
from workers.watchdog import Pulse
from workers.wills import Will

PULSE_VARIABLE: Final = "PAIDUP_POOL_PULSE"
"""Set by the supervisor: the file this pool touches whenever a drainer moves."""

REDIS_TIMEOUT_SECONDS: Final = 5.0


def main() -> None:
    """Run until a SIGTERM, or until the supervisor is gone; ends the process."""
    parent = os.getppid()
    settings = Settings.from_env(os.environ)
    configure_logging(sys.stderr, level=settings.log_level)
    _quiet_celery()
    stop_with_parent(parent)
    celery = make_celery(settings, role="worker")
    _prepare(celery, settings, Path(os.environ[PULSE_VARIABLE]))
    celery.worker_main(_arguments(settings))


def _quiet_celery() -> None:
    """Two lines for each wake-up say nothing that our own line for each event does not."""
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns root of pickled messages; we take JSON only.
    warnings.simplefilter("ignore", SecurityWarning)


def _arguments(settings: Settings) -> list[str]:
    return [
        "--quiet",
        "worker",
        "--pool=prefork",
        f"--concurrency={settings.worker_processes}",
        f"--hostname=paidup-{os.getpid()}@%h",
        f"--loglevel={settings.log_level}",
        "--without-gossip",
        "--without-mingle",
    ]


def _prepare(celery: Celery, settings: Settings, pulse: Path) -> None:
    flag = StopFlag()
    drain = _InChild(flag)
    register(celery, drain)

    def keep_our_logging(**_: Any) -> None:
        """Celery leaves the loggers alone as soon as anybody listens."""

    def connect(**_: Any) -> None:
        redis = make_redis(settings, timeout=REDIS_TIMEOUT_SECONDS, pool_size=4)
        engine = make_engine(settings, application_name=f"paidup-worker-{os.getpid()}")
        drain.drainer = build_drainer(settings, Inbox(redis), engine, drain.stops, Pulse(pulse))
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
    ledger = Ledger(
        engine, livemode=settings.effective_livemode(), accounts=settings.connect_accounts
    )
    return Drainer(
        inbox=inbox,
        applier=Applier(recorder=ledger, now=_now, chance=random.random),
        orders=Orders(
            inbox=inbox,
            bury=partial(bury, engine),
            reporter=Reporter(build_metrics(event_types=HANDLED_TYPES)),
            now=_now,
        ),
        publish=Wakes(make_celery(settings, role="publisher")).publish,
        is_stopping=is_stopping,
        moved=pulse.beat,
        naming=Will(pulse.folder).naming,
        longest_run_seconds=longest_run_seconds,
    )


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
