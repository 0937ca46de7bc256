"""What one server process is made of: its clients of Redis, its gate, and the threads beside.

All of it is built in the process itself, since neither connections nor threads survive its start.
"""

import sys
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from flask import Flask

from ingest.app import create_app
from ingest.health import RedisHealth
from runtime.broker import Wakes, make_celery
from runtime.gc_tuning import spare_the_collector
from runtime.http.background import watch_beside
from runtime.http.circuit_breaker import Gate
from runtime.http.server import Server
from runtime.http.stalled_connections import Patience
from runtime.inbox.durability import durability_problems
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.telemetry import SharedState, build_metrics, configure_logging, secret_fingerprint

SERVER: Final = Server(
    name="ingest",
    variable="PAIDUP_INGEST_BIND",
    address=lambda settings: settings.ingest_bind,
    processes=lambda settings: settings.ingest_processes,
    # Requests one process holds at a time, half-sent ones included.
    threads=1024,
    idle_seconds=10,
)

_REDIS_SECONDS: Final = 0.5


def start_process(settings: Settings, port: int, launcher: int) -> Flask:
    """Build ingest in this process and start what watches beside it."""
    configure_logging(sys.stderr, level=settings.log_level)
    metrics = build_metrics(secrets=map(secret_fingerprint, settings.webhook_secrets))
    health = _health(settings)
    gate = Gate(health, server="Redis", monotonic=monotonic)
    gate.check()
    watch_beside(gate, Patience(), port=port, launcher=launcher)
    app = create_app(
        settings=settings,
        inbox=_inbox(settings),
        wakes=Wakes(make_celery(settings, role="publisher")),
        metrics=metrics,
        gate=gate,
        state=lambda: health.state,
        clock=lambda: datetime.now(UTC),
    )
    spare_the_collector()
    return app


def _inbox(settings: Settings) -> Inbox:
    redis = make_redis(settings, timeout=_REDIS_SECONDS, pool_size=SERVER.threads)
    return Inbox(redis, limit=settings.inbox_limit)


def _health(settings: Settings) -> RedisHealth:
    # Not the clients the requests use: a pool they exhaust must not blind the probe.
    redis = make_redis(settings, timeout=_REDIS_SECONDS, pool_size=2)
    inbox = Inbox(redis)

    def shared_state() -> SharedState:
        backlog = inbox.backlog()
        return SharedState(
            backlog_events=backlog.events,
            backlog_oldest_seconds=backlog.oldest_seconds,
            breaker_open=backlog.breaker is not None,
        )

    trusted = settings.redis_durability == "trusted"
    return RedisHealth(
        redis,
        durability_problems=lambda: durability_problems(redis, trusted=trusted),
        shared_state=shared_state,
        monotonic=monotonic,
    )
