"""``python -m workers.drain.pool``: a Celery worker whose children drain the inbox.

The supervisor starts and watches it. The main process only passes wake-ups to its children. Each
child opens its own connections after the fork.
"""

from collections.abc import Callable
from functools import partial

from sqlalchemy.engine import Engine

from runtime.broker import (
    DRAIN_TASK,
    QUEUE,
    WakePublisher,
    fetch_wake_publisher,
    make_celery,
)
from runtime.failures.canary import Canary
from runtime.failures.dead_letters import dead_letter
from runtime.inbox.fetch_lane import FetchLane
from runtime.inbox.inbox import Inbox
from runtime.settings import Settings
from runtime.telemetry import Metrics
from runtime.time_limits import MAX_RUN_SECONDS
from workers.batches.celery_pool import ChildContext, PoolSpec, build_executor, run, utc_now
from workers.batches.drainer import Drainer
from workers.batches.finisher import FetchDeferrer, Finisher
from workers.batches.reporting import Reporter
from workers.liveness import ClaimFile, Pulse


def main() -> None:
    """Drain until a SIGTERM or the end of the supervisor, then end the process."""
    run(
        PoolSpec(
            name="worker",
            task=DRAIN_TASK,
            queue=QUEUE,
            processes=lambda settings: settings.worker_processes,
            build=_drainer_of,
        )
    )


def _drainer_of(child: ChildContext) -> Drainer:
    return build_drainer(
        child.settings,
        Inbox(child.redis),
        child.engine,
        child.is_stopping,
        child.pulse,
        metrics=child.metrics,
    )


def build_drainer(
    settings: Settings,
    inbox: Inbox,
    engine: Engine,
    is_stopping: Callable[[], bool],
    pulse: Pulse,
    *,
    metrics: Metrics,
    max_run_seconds: float = MAX_RUN_SECONDS,
) -> Drainer:
    """Return the drainer of this process; make ``inbox`` and ``engine`` after the fork.

    The process keeps its claim file in the folder of the pulse file.
    """
    lane = FetchLane.beside(inbox, at_once=settings.fetch_at_once)
    publisher = make_celery(settings, role="publisher")
    return Drainer(
        queue=inbox,
        claimed=inbox,
        execute=build_executor(settings, engine).execute,
        finisher=Finisher(
            inbox=inbox,
            write_dead_letters=partial(dead_letter, engine),
            reporter=Reporter(metrics),
            now=utc_now,
            fetch_deferrer=FetchDeferrer(lane=lane, publish=fetch_wake_publisher(publisher)),
            ask_canary=Canary(engine).fault_alike,
        ),
        publish=WakePublisher(publisher).publish,
        is_stopping=is_stopping,
        on_claim=pulse.beat,
        holding=ClaimFile(pulse.folder).holding,
        max_run_seconds=max_run_seconds,
    )


if __name__ == "__main__":
    main()
