"""Build one server process of ingest: its Redis clients, its circuit breaker and its threads.

All of it is built in the process itself, since neither connections nor threads survive its start.
"""

import sys
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from flask import Flask

from ingest.app import create_app
from ingest.health import RedisHealth
from runtime.broker import WakePublisher, make_celery
from runtime.gc_tuning import reduce_gc
from runtime.http.background import start_background_threads
from runtime.http.circuit_breaker import CircuitBreaker
from runtime.http.server import ServerSpec
from runtime.http.stalled_connections import ConnectionReaper
from runtime.inbox.durability import durability_problems
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.telemetry import SharedState, build_metrics, configure_logging, secret_fingerprint

SERVER: Final = ServerSpec(
    name="ingest",
    variable="PAIDUP_INGEST_BIND",
    address=lambda settings: settings.ingest_bind,
    processes=lambda settings: settings.ingest_processes,
    # Requests that one process holds at a time, half-sent ones included.
    threads=1024,
    idle_seconds=10,
)

_REDIS_SECONDS: Final = 0.5


def start_process(settings: Settings, port: int, launcher: int) -> Flask:
    """Build ingest in this process and start its background threads."""
    configure_logging(sys.stderr, level=settings.log_level)
    metrics = build_metrics(secrets=map(secret_fingerprint, settings.webhook_secrets))
    health = _health(settings)
    breaker = CircuitBreaker(health, server="Redis", monotonic=monotonic)
    breaker.check()
    start_background_threads(breaker, ConnectionReaper(), port=port, launcher=launcher)
    app = create_app(
        settings=settings,
        inbox=_inbox(settings),
        publish=WakePublisher(make_celery(settings, role="publisher")).publish,
        metrics=metrics,
        breaker=breaker,
        state=lambda: health.state,
        clock=lambda: datetime.now(UTC),
    )
    reduce_gc()
    return app


def _inbox(settings: Settings) -> Inbox:
    redis = make_redis(settings, timeout=_REDIS_SECONDS, pool_size=SERVER.threads)
    return Inbox(redis, limit=settings.inbox_limit)


def _health(settings: Settings) -> RedisHealth:
    # Its own client: requests that exhaust their pool must not block the probe.
    redis = make_redis(settings, timeout=_REDIS_SECONDS, pool_size=2)
    inbox = Inbox(redis)

    def shared_state() -> SharedState:
        backlog = inbox.backlog()
        return SharedState(
            backlog_events=backlog.events,
            backlog_oldest_seconds=backlog.oldest_seconds,
            breaker_open=backlog.breaker is not None,
            breaker_open_seconds=backlog.breaker_seconds,
        )

    trusted = settings.redis_durability == "trusted"
    return RedisHealth(
        info=redis.info,
        durability_problems=lambda: durability_problems(redis, trusted=trusted),
        shared_state=shared_state,
        monotonic=monotonic,
    )
