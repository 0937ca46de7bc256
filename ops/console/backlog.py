"""Report the backlog beside the console's own metrics, as ingest and workers do."""

import threading

from runtime.guard import start_loop
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.sizing.shared import SharedBacklog
from runtime.telemetry import SharedStateCollector
from runtime.time_limits import HISTORY_REDIS_SECONDS, SHARED_BACKLOG_SECONDS


def report_backlog(settings: Settings) -> tuple[SharedStateCollector, ...]:
    """Start to read the backlog; return what reports it, nothing without ``REDIS_URL``.

    A thread reads it, so that no scrape waits for Redis.
    """
    if settings.redis_url is None:
        return ()
    client = make_redis(settings, timeout=HISTORY_REDIS_SECONDS, pool_size=1)
    shared = SharedBacklog(Inbox(client).backlog)
    start_loop(
        "backlog", shared.refresh, pause=lambda: SHARED_BACKLOG_SECONDS, stopped=threading.Event()
    )
    return (SharedStateCollector(lambda: shared.state),)
