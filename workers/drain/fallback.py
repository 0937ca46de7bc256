"""``python -m workers.drain.fallback``: drain once, because no wake-up reaches the pool.

Wake-ups travel through the broker. If the broker is unreachable, or its Redis is too full for
Celery to send or acknowledge a message, events wait although the inbox can hand them out: its
scripts work on a full server, and draining frees memory there. The supervisor starts this process
when events are due and the pool claims none. It ends when nothing is due.
"""

import os
import sys
from pathlib import Path

from billing.readers.registry import HANDLED_TYPES
from runtime.database.engine import make_engine
from runtime.inbox.inbox import Inbox, new_token
from runtime.parent_watch import end_with_parent, take_parent
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.telemetry import build_metrics, configure_logging
from runtime.time_limits import GRACE_SECONDS, MAX_FALLBACK_RUN_SECONDS, WORKER_REDIS_SECONDS
from workers.batches.counting import history_writer
from workers.drain.pool import build_drainer
from workers.liveness import FALLBACK_PULSE_VARIABLE, Pulse
from workers.shutdown import EndAfterBatch


def main() -> None:
    """Drain until nothing is due, a SIGTERM arrives, or 30 s have passed."""
    end_with_parent(take_parent(os.environ), grace_seconds=GRACE_SECONDS)
    settings = Settings.from_env(os.environ)
    configure_logging(sys.stderr, level=settings.log_level)
    ending = EndAfterBatch(lambda: True)
    redis = make_redis(settings, timeout=WORKER_REDIS_SECONDS, pool_size=4)
    engine = make_engine(settings, application_name=f"paidup-fallback-{os.getpid()}")
    metrics = build_metrics(event_types=HANDLED_TYPES)
    history = history_writer(settings, metrics)
    drainer = build_drainer(
        settings,
        Inbox(redis),
        engine,
        ending.is_asked,
        Pulse(Path(os.environ[FALLBACK_PULSE_VARIABLE])),
        metrics=metrics,
        max_run_seconds=MAX_FALLBACK_RUN_SECONDS,
    )
    with ending.busy():
        drainer.run(new_token())
        history.report()


if __name__ == "__main__":
    main()
