"""What every process tells: Prometheus metrics with closed label sets, and one kind of log line.

A process builds its ``Metrics`` once. Every labelled series is made at once and starts at 0, so a
rate never misses the first event. Numbers that all processes share (backlog, dead letters) are
no counters of ours: ``SharedState`` is read where it lives whenever somebody asks.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TextIO

import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from structlog.typing import Processor

from runtime.metrics_files import FOLDER_VARIABLE, FolderCollector

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

RECEIVED: Final = ("accepted", "duplicate", "invalid", "refused")
INVALID_SIGNATURE: Final = ("missing", "malformed", "mismatch")
REPLAY_BLOCKED: Final = ("duplicate", "stale_timestamp", "future_timestamp")
OPERATIONS: Final = ("ingest", "worker")
OUTCOMES: Final = ("applied", "superseded", "ignored")
CHANGES: Final = ("granted", "changed", "revoked")
READS: Final = ("found", "unchanged", "unknown", "unauthorized", "limited", "unavailable")
FETCHES: Final = ("answered", "gone", "limited", "away", "forbidden", "refused")
"""What came of asking Stripe's API."""

OTHER: Final = "other"
"""The ``event_type`` label of every type no reader knows, so that strangers add no series."""

_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_LAG: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0, 86400.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The objects a process counts with, one field for each metric, named as the metric is."""

    registry: CollectorRegistry
    webhook_received: Counter
    webhook_invalid_sig: Counter
    webhook_replay_block: Counter
    webhook_conflicts: Counter
    webhook_ack_seconds: Histogram
    webhook_secret_last_used: Gauge
    wake_failures: Counter
    idempotent_hits: Counter
    events_settled: Counter
    event_processing_seconds: Histogram
    event_lag_seconds: Histogram
    entitlement_changes: Counter
    reads: Counter
    read_seconds: Histogram
    console_token_last_used: Gauge
    events_without_api_key: Counter
    fetches: Counter
    fetch_seconds: Histogram


def build_metrics(
    registry: CollectorRegistry | None = None,
    *,
    secrets: Iterable[str] = (),
    event_types: Iterable[str] = (),
    tokens: Iterable[str] = (),
) -> Metrics:
    """Every metric of DESIGN's closed list, each series at 0; call it once for each registry.

    ``secrets`` are fingerprints (``secret_fingerprint``), ``event_types`` what the readers handle,
    ``tokens`` the names of the console's tokens.
    """
    # They would double the number of series.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry() if registry is None else registry
    metrics = Metrics(
        registry=registry,
        webhook_received=_counter(
            registry, "billing_webhook_received", "Webhooks, by what they were answered.", "result"
        ),
        webhook_invalid_sig=_counter(
            registry, "billing_webhook_invalid_sig", "Signatures refused, by reason.", "reason"
        ),
        webhook_replay_block=_counter(
            registry, "billing_webhook_replay_block", "Replayed deliveries stopped.", "reason"
        ),
        webhook_conflicts=_counter(
            registry, "billing_webhook_conflicts", "Second, different events under a known id."
        ),
        webhook_ack_seconds=_histogram(
            registry, "billing_webhook_ack_seconds", "From a whole request to its 2xx.", _FAST
        ),
        webhook_secret_last_used=_gauge(
            registry,
            "billing_webhook_secret_last_used_timestamp_seconds",
            "When a secret last matched; 0 is never. An old one that rests can go.",
            "secret",
        ),
        wake_failures=_counter(
            registry, "billing_wake_failures", "Wake-ups the broker did not take; the sweeper does."
        ),
        idempotent_hits=_counter(
            registry, "idempotent_hits", "Deliveries answered without doing it again.", "operation"
        ),
        events_settled=_counter(
            registry, "billing_events_settled", "Events settled.", "event_type", "outcome"
        ),
        event_processing_seconds=_histogram(
            registry, "billing_event_processing_seconds", "From claimed to committed.", _FAST
        ),
        event_lag_seconds=_histogram(
            registry, "billing_event_lag_seconds", "From accepted to applied.", _LAG
        ),
        entitlement_changes=_counter(
            registry, "billing_entitlement_changes", "Entitlements that changed.", "change"
        ),
        events_without_api_key=_counter(
            registry,
            "billing_events_without_api_key",
            "Thin events settled as ignored because there is no STRIPE_API_KEY for them.",
        ),
        fetches=_counter(
            registry, "billing_fetches", "Requests to Stripe's API, by what came of them.", "result"
        ),
        fetch_seconds=_histogram(
            registry, "billing_fetch_seconds", "From a request to Stripe's API to its end.", _FAST
        ),
        reads=_counter(
            registry, "billing_reads", "Reads over HTTP, by what they were answered.", "result"
        ),
        read_seconds=_histogram(
            registry, "billing_read_seconds", "From a request to what a user may do.", _FAST
        ),
        console_token_last_used=_gauge(
            registry,
            "billing_console_token_last_used_timestamp_seconds",
            "When a token was last presented; 0 is never. An old one that rests can go.",
            "token",
        ),
    )
    _start_at_zero(metrics, secrets, event_types, tokens)
    return metrics


def secret_fingerprint(secret: str) -> str:
    """A name for a secret that gives nothing of it away; the same in every process and run."""
    return hashlib.sha256(b"paidup-webhook-secret:" + secret.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedState:
    """What is true of the installation, whoever is asked; ``None`` is not known here."""

    backlog_events: int | None = None
    backlog_oldest_seconds: float | None = None
    dead_letters: int | None = None
    breaker_open: bool | None = None
    changes_waiting_seconds: float | None = None
    changes_unstreamed: int | None = None
    fetch_backlog_events: int | None = None
    fetch_breaker_open: bool | None = None


class SharedStateCollector(Collector):
    """Asks for the shared state at each scrape; several processes tell the same: use ``max()``."""

    def __init__(self, read: Callable[[], SharedState]) -> None:
        self._read = read

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing is read when the collector is registered."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges whose value is known; ``read`` must not raise, an unknown has no sample."""
        state = self._read()
        for name, text, value in (
            ("billing_backlog_events", "Accepted, not settled.", state.backlog_events),
            ("billing_backlog_oldest_seconds", "Age of the oldest.", state.backlog_oldest_seconds),
            ("billing_dead_letters", "Open dead letters.", state.dead_letters),
            ("billing_breaker_open", "1 while dispatch rests.", state.breaker_open),
            (
                "billing_entitlement_changes_waiting_seconds",
                "Age of the oldest change that readers are not told of.",
                state.changes_waiting_seconds,
            ),
            (
                "billing_entitlement_changes_unstreamed",
                "Changes that the Redis stream does not have yet.",
                state.changes_unstreamed,
            ),
            (
                "billing_fetch_backlog_events",
                "Events that wait for Stripe's API.",
                state.fetch_backlog_events,
            ),
            (
                "billing_fetch_breaker_open",
                "1 while Stripe's API is not asked.",
                state.fetch_breaker_open,
            ),
        ):
            if value is not None:
                yield GaugeMetricFamily(name, text, value=float(value))


def render(metrics: Metrics, *shared: Collector) -> bytes:
    """The scrape of one process, or of all its siblings where they share a metrics folder."""
    registry = CollectorRegistry()
    if folder := os.environ.get(FOLDER_VARIABLE):
        registry.register(FolderCollector(folder))
    else:
        registry.register(metrics.registry)
    for collector in shared:
        registry.register(collector)
    return generate_latest(registry)


def configure_logging(stream: TextIO, *, level: str = "info") -> None:
    """All log lines of the process, libraries' too: JSON, or for people where it is a terminal.

    No renderer shows local variables of a traceback: they hold secrets and bodies.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(stream),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _renderers(stream: TextIO) -> list[Processor]:
    if stream.isatty():
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


def _counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=registry)


def _histogram(
    registry: CollectorRegistry, name: str, text: str, buckets: tuple[float, ...]
) -> Histogram:
    return Histogram(name, text, registry=registry, buckets=buckets)


def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=registry, multiprocess_mode="max")


def _start_at_zero(
    metrics: Metrics, secrets: Iterable[str], event_types: Iterable[str], tokens: Iterable[str]
) -> None:
    for metric, values in (
        (metrics.webhook_received, RECEIVED),
        (metrics.webhook_invalid_sig, INVALID_SIGNATURE),
        (metrics.webhook_replay_block, REPLAY_BLOCKED),
        (metrics.idempotent_hits, OPERATIONS),
        (metrics.entitlement_changes, CHANGES),
        (metrics.fetches, FETCHES),
        (metrics.reads, READS),
        (metrics.console_token_last_used, tuple(tokens)),
        (metrics.webhook_secret_last_used, tuple(secrets)),
    ):
        for value in values:
            metric.labels(value)
    for event_type in (*event_types, OTHER):
        for outcome in OUTCOMES:
            metrics.events_settled.labels(event_type, outcome)
