"""Bring what a process that drains counts into the history."""

from functools import partial

from runtime.history.reports import NewCounts, worker_totals
from runtime.history.writer import HistoryWriter
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.telemetry import Metrics
from runtime.time_limits import HISTORY_REDIS_SECONDS


def history_writer(settings: Settings, metrics: Metrics) -> HistoryWriter:
    """Return the writer of this process, with a connection of its own; make it after the fork."""
    redis = make_redis(settings, timeout=HISTORY_REDIS_SECONDS, pool_size=1)
    return HistoryWriter(redis, "worker", NewCounts(partial(worker_totals, metrics)))
