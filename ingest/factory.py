"""Build one server process of ingest: its Redis clients, its circuit breaker and its threads.

All of it is built in the process itself, since neither connections nor threads survive its start.
"""

import sys
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Final

from flask import Flask
from redis.exceptions import RedisError

from ingest.app import create_app
from ingest.health import RedisHealth
from ingest.signature_counter import SignatureCounter
from ingest.wrong_paths import REPORT_SECONDS, WrongPathCounter
from runtime.broker import WakePublisher, make_celery
from runtime.gc_tuning import reduce_gc
from runtime.guard import start_loop
from runtime.history.reports import NewCounts, ingest_totals
from runtime.history.writer import HistoryWriter, start_history
from runtime.http.background import start_background_threads
from runtime.http.circuit_breaker import CircuitBreaker
from runtime.http.server import ServerSpec
from runtime.http.stalled_connections import ConnectionReaper
from runtime.inbox.durability import durability_problems
from runtime.inbox.inbox import Inbox
from runtime.inbox.room import RoomMeasure
from runtime.inbox.signatures import SignatureRecord
from runtime.inbox.wrong_paths import WrongPaths
from runtime.redis_client import make_redis
from runtime.redis_connection import Generation
from runtime.settings import Settings
from runtime.sizing.shared import LastNeed, state_of
from runtime.telemetry import (
    Metrics,
    SharedState,
    build_metrics,
    configure_logging,
    secret_fingerprint,
)
from runtime.time_limits import (
    HISTORY_REDIS_SECONDS,
    INGEST_IDLE_SECONDS,
    INGEST_REDIS_SECONDS,
)

SERVER: Final = ServerSpec(
    name="ingest",
    variable="PAIDUP_INGEST_BIND",
    address=lambda settings: settings.ingest_bind,
    processes=lambda settings: settings.ingest_processes,
    # Requests that one process holds at a time, half-sent ones included.
    threads=1024,
    idle_seconds=INGEST_IDLE_SECONDS,
)


def start_process(settings: Settings, port: int, launcher: int) -> Flask:
    """Build ingest in this process and start its background threads."""
    configure_logging(sys.stderr, level=settings.log_level)
    metrics = build_metrics(secrets=map(secret_fingerprint, settings.webhook_secrets))
    generation = Generation()
    health = _health(settings, generation)
    breaker = CircuitBreaker(health, server="Redis", monotonic=monotonic)
    breaker.check()
    wrong_paths = WrongPathCounter(settings.webhook_path, metrics.webhook_wrong_path, monotonic)
    start_background_threads(breaker, ConnectionReaper(), port=port, launcher=launcher)
    signatures = SignatureCounter(monotonic)
    _start_reporting(wrong_paths, signatures, settings, generation)
    _start_history(metrics, settings, generation)
    app = create_app(
        settings=settings,
        inbox=_inbox(settings, generation),
        publish=WakePublisher(make_celery(settings, role="publisher")).publish,
        metrics=metrics,
        breaker=breaker,
        state=lambda: health.state,
        clock=lambda: datetime.now(UTC),
        wrong_paths=wrong_paths,
        signatures=signatures,
    )
    reduce_gc()
    return app


def _inbox(settings: Settings, generation: Generation) -> Inbox:
    redis = make_redis(
        settings, timeout=INGEST_REDIS_SECONDS, pool_size=SERVER.threads, generation=generation
    )
    return Inbox(redis, limit=settings.inbox_limit, replicas=settings.redis_replicas)


def _start_reporting(
    wrong_paths: WrongPathCounter,
    signatures: SignatureCounter,
    settings: Settings,
    generation: Generation,
) -> None:
    redis = make_redis(settings, timeout=INGEST_REDIS_SECONDS, pool_size=1, generation=generation)
    paths, mismatches = WrongPaths(redis), SignatureRecord(redis)

    def report() -> None:
        with suppress(RedisError):  # the breaker reports it; the next call tries again
            wrong_paths.report(paths)
            signatures.report(mismatches)

    start_loop("reports", report, pause=lambda: REPORT_SECONDS, stopped=threading.Event())


def _start_history(metrics: Metrics, settings: Settings, generation: Generation) -> None:
    redis = make_redis(settings, timeout=HISTORY_REDIS_SECONDS, pool_size=1, generation=generation)
    start_history(HistoryWriter(redis, "ingest", NewCounts(partial(ingest_totals, metrics))))


def _health(settings: Settings, generation: Generation) -> RedisHealth:
    # Its own client: requests that exhaust their pool must not block the probe. The generation is
    # shared, so that a replica that the probe finds does not serve requests either.
    redis = make_redis(settings, timeout=INGEST_REDIS_SECONDS, pool_size=2, generation=generation)
    inbox = Inbox(redis, replicas=settings.redis_replicas)
    measure = RoomMeasure(redis, limit=settings.inbox_limit)
    last = LastNeed()

    def shared_state() -> SharedState:
        room = measure.note()
        return replace(
            last.remember(state_of(inbox.backlog())),
            inbox_bytes_each=room.bytes_each,
            inbox_bytes_left=room.bytes_left,
            inbox_growth=room.growth,
            inbox_seconds_left=room.seconds_left,
        )

    trusted = settings.redis_durability == "trusted"
    return RedisHealth(
        info=redis.info,
        durability_problems=lambda: durability_problems(redis, trusted=trusted),
        shared_state=shared_state,
        monotonic=monotonic,
        reconnect=generation.end,
        last_known=last.state,
        confirm_replicas=inbox.confirm_replicas if settings.redis_replicas else None,
    )
