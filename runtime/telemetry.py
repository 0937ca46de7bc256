"""Build Prometheus metrics with closed label sets, and configure logging, for every process.

A process builds its ``Metrics`` once. Every labelled series exists from the start at 0, so a
rate never misses the first event. Numbers that all processes share (backlog, dead letters) are not
counted here. Each scrape reads them from Redis and PostgreSQL as ``SharedState``.
"""

import atexit
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final, TextIO

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
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from structlog.typing import Processor

from runtime.disks import own_disks
from runtime.metrics_files import FOLDER_VARIABLE, FolderCollector
from runtime.metrics_values import count_in_lasting_files

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

RECEIVED: Final = ("accepted", "duplicate", "invalid", "refused")
INVALID_SIGNATURE: Final = ("missing", "malformed", "mismatch")
REPLAY_BLOCKED: Final = ("duplicate", "stale_timestamp", "future_timestamp")
OPERATIONS: Final = (
    *("ingest", "worker"),
    *("grants.add", "grants.end", "links.add", "links.end"),
    *("bulk_plans.make", "bulk_plans.change"),
)
OUTCOMES: Final = ("applied", "superseded", "ignored")
CHANGES: Final = ("granted", "changed", "revoked")
READS: Final = (
    *("found", "unchanged", "unknown"),
    *("invalid", "unauthorized", "forbidden", "limited", "unavailable"),
)
FETCHES: Final = ("answered", "gone", "limited", "away", "forbidden", "refused")
"""Results of requests to Stripe's API."""
API_CALLERS: Final = ("fetch", "plans", "doctor", "backfill", "reconcile")
"""What asks Stripe's API."""

OTHER: Final = "other"
"""The ``event_type`` label of every type without a reader, so that series stay few."""

_MAKE: Final = "make"
"""The metadata key of the function that makes a metric, given ``registry``."""

FAST_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
LAG_BOUNDS: Final = (
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    300.0,
    3600.0,
    86400.0,
)


def _counter(name: str, text: str, *labels: str) -> Mapping[str, Any]:
    return {_MAKE: partial(Counter, name, text, labels)}


def _histogram(name: str, text: str, buckets: tuple[float, ...]) -> Mapping[str, Any]:
    return {_MAKE: partial(Histogram, name, text, buckets=buckets)}


def _gauge(name: str, text: str, *labels: str) -> Mapping[str, Any]:
    return {_MAKE: partial(Gauge, name, text, labels, multiprocess_mode="max")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The metrics of one process, a closed list with closed sets of label values."""

    registry: CollectorRegistry
    webhook_received: Counter = field(
        metadata=_counter("billing_webhook_received", "Webhooks, by result.", "result")
    )
    webhook_invalid_sig: Counter = field(
        metadata=_counter("billing_webhook_invalid_sig", "Refused signatures, by reason.", "reason")
    )
    webhook_replay_block: Counter = field(
        metadata=_counter(
            "billing_webhook_replay_block", "Repeated and replayed deliveries stopped.", "reason"
        )
    )
    webhook_wrong_path: Counter = field(
        metadata=_counter(
            "billing_webhook_wrong_path",
            "Signed deliveries answered with 404 because their path is not PAIDUP_WEBHOOK_PATH.",
        )
    )
    webhook_conflicts: Counter = field(
        metadata=_counter("billing_webhook_conflicts", "Different events under a known id.")
    )
    webhook_unreplicated: Counter = field(
        metadata=_counter(
            "billing_webhook_unreplicated",
            "Deliveries refused because fewer replicas than PAIDUP_REDIS_REPLICAS had them.",
        )
    )
    webhook_ack_seconds: Histogram = field(
        metadata=_histogram(
            "billing_webhook_ack_seconds", "From a complete request to its 2xx.", FAST_BOUNDS
        )
    )
    webhook_secret_last_used: Gauge = field(
        metadata=_gauge(
            "billing_webhook_secret_last_used_timestamp_seconds",
            "When a secret last matched; 0 is never. Remove an old secret that is unused.",
            "secret",
        )
    )
    wake_failures: Counter = field(
        metadata=_counter("billing_wake_failures", "Wake-ups that the broker did not take.")
    )
    idempotent_hits: Counter = field(
        metadata=_counter(
            "idempotent_hits", "Repeated deliveries and calls without effect.", "operation"
        )
    )
    events_settled: Counter = field(
        metadata=_counter("billing_events_settled", "Events settled.", "event_type", "outcome")
    )
    event_processing_seconds: Histogram = field(
        metadata=_histogram(
            "billing_event_processing_seconds", "From claimed to committed.", FAST_BOUNDS
        )
    )
    event_lag_seconds: Histogram = field(
        metadata=_histogram(
            "billing_event_lag_seconds", "From accepted to applied, replays left out.", LAG_BOUNDS
        )
    )
    entitlement_changes: Counter = field(
        metadata=_counter("billing_entitlement_changes", "Entitlements that changed.", "change")
    )
    events_without_api_key: Counter = field(
        metadata=_counter(
            "billing_events_without_api_key",
            "Thin events settled as ignored because there is no STRIPE_API_KEY for them.",
        )
    )
    fetches: Counter = field(
        metadata=_counter("billing_fetches", "Requests to Stripe's API, by result.", "result")
    )
    fetch_seconds: Histogram = field(
        metadata=_histogram(
            "billing_fetch_seconds", "From a request to Stripe's API to its end.", FAST_BOUNDS
        )
    )
    settlements_lost: Counter = field(
        metadata=_counter(
            "billing_settlements_lost",
            "Settled events found missing in PostgreSQL, which went back in time.",
        )
    )
    inbox_went_back: Counter = field(
        metadata=_counter(
            "billing_inbox_went_back", "Times that Redis was found to have lost accepted events."
        )
    )
    reads: Counter = field(
        metadata=_counter("billing_reads", "Reads over HTTP, by result.", "result")
    )
    read_seconds: Histogram = field(
        metadata=_histogram(
            "billing_read_seconds", "From a read request to its answer.", FAST_BOUNDS
        )
    )
    console_token_last_used: Gauge = field(
        metadata=_gauge(
            "billing_console_token_last_used_timestamp_seconds",
            "When a token was last used; 0 is never. Remove an old token that is unused.",
            "token",
        )
    )


def build_metrics(
    registry: CollectorRegistry | None = None,
    *,
    secrets: Iterable[str] = (),
    event_types: Iterable[str] = (),
    tokens: Iterable[str] = (),
) -> Metrics:
    """Return all metrics, with each series at 0. Call it once for each registry.

    ``secrets`` are fingerprints (``secret_fingerprint``), ``event_types`` the types that have a
    reader, and ``tokens`` the names of the console's tokens.
    """
    # The _created series would double the number of series.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    count_in_lasting_files()
    registry = CollectorRegistry() if registry is None else registry
    made = {
        each.name: each.metadata[_MAKE](registry=registry)
        for each in fields(Metrics)
        if _MAKE in each.metadata
    }
    metrics = Metrics(registry=registry, **made)
    _start_at_zero(metrics, secrets, event_types, tokens)
    return metrics


def secret_fingerprint(secret: str) -> str:
    """Return a name for a secret that reveals nothing of it, the same in every process."""
    return hashlib.sha256(b"paidup-webhook-secret:" + secret.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedState:
    """Numbers of the whole installation; None if this process does not know one."""

    backlog_events: int | None = None
    backlog_oldest_seconds: float | None = None
    backlog_due_events: int | None = None
    backlog_due_seconds: float | None = None
    backlog_parked_events: int | None = None
    workers_needed: int | None = None
    worker_processes: int | None = None
    dead_letters: int | None = None
    breaker_open: bool | None = None
    breaker_open_seconds: float | None = None
    inbox_bytes_each: int | None = None
    inbox_bytes_left: int | None = None
    inbox_growth: float | None = None
    inbox_seconds_left: float | None = None
    changes_waiting_seconds: float | None = None
    fetch_backlog_events: int | None = None
    fetch_breaker_open: bool | None = None
    redis_replicas: int | None = None
    lost_settlements: int | None = None
    lost_accepts: int | None = None
    ending_soon: int | None = None
    ended: int | None = None
    archive_updates: int | None = None
    archive_updates_seconds: float | None = None
    approvals_bypassed: int | None = None
    redis_unsafe: int | None = None
    refusals: int | None = None
    lost_settlements_reports: int | None = None
    unsold: Mapping[str, int] | None = None
    """What was paid for and grants nothing, by reason."""
    api_requests: Mapping[tuple[str, str], int] | None = None
    """Requests to Stripe's API ever sent, by caller and result."""
    api_reads: Mapping[str, int] | None = None
    """Reads of the last 30 days, by mode."""
    api_paused: bool | None = None
    reconcile_differences: Mapping[str, int] | None = None
    """What stands between Stripe and us, by class."""
    reconcile_put_in: int | None = None
    reconcile_agreed_at: float | None = None
    reconcile_runs_at: Mapping[str, float] | None = None
    """When the newest whole comparison of each part began, in seconds of Unix time."""
    fault_of_surroundings: str | None = None
    """The SQLSTATE of what fails every event while workers wait for it to be mended; else empty."""


_SHARED: Final = (
    ("billing_backlog_events", "Accepted events that are not settled.", "backlog_events"),
    ("billing_backlog_oldest_seconds", "Age of the oldest of them.", "backlog_oldest_seconds"),
    ("billing_backlog_due_events", "Events that any worker could take now.", "backlog_due_events"),
    (
        "billing_backlog_due_seconds",
        "For how long the oldest of these has been due; 0 if there is none.",
        "backlog_due_seconds",
    ),
    ("billing_backlog_parked_events", "Events that wait for a retry.", "backlog_parked_events"),
    (
        "billing_workers_needed",
        "Worker processes that keep up with what arrives and waits, at least 1.",
        "workers_needed",
    ),
    ("billing_worker_processes", "Worker processes that are announced.", "worker_processes"),
    ("billing_dead_letters", "Open dead letters.", "dead_letters"),
    ("billing_breaker_open", "1 while no event is dispatched.", "breaker_open"),
    (
        "billing_breaker_open_seconds",
        "For how long workers have waited for PostgreSQL; 0 while it answers.",
        "breaker_open_seconds",
    ),
    (
        "billing_inbox_bytes_per_event",
        "Memory of Redis that a waiting event takes, by samples; 0 if none waits.",
        "inbox_bytes_each",
    ),
    (
        "billing_inbox_room_bytes",
        "Memory of Redis until ingest refuses events, if maxmemory is set.",
        "inbox_bytes_left",
    ),
    (
        "billing_inbox_growth_events_per_second",
        "By how many more events came than left, within the last minute; negative if it shrinks.",
        "inbox_growth",
    ),
    (
        "billing_inbox_full_in_seconds",
        "Until ingest refuses events if the inbox grows on as it does; +Inf if it does not grow.",
        "inbox_seconds_left",
    ),
    (
        "billing_entitlement_changes_waiting_seconds",
        "Age of the oldest unpublished entitlement change.",
        "changes_waiting_seconds",
    ),
    ("billing_fetch_backlog_events", "Events that wait for Stripe's API.", "fetch_backlog_events"),
    ("billing_fetch_breaker_open", "1 while Stripe's API is not asked.", "fetch_breaker_open"),
    (
        "billing_redis_replicas_confirmed",
        "Replicas that had the last probe, if PAIDUP_REDIS_REPLICAS wants some.",
        "redis_replicas",
    ),
    (
        "billing_lost_settlements",
        "Settled events that PostgreSQL lost and that are not back.",
        "lost_settlements",
    ),
    (
        "billing_lost_accepts_reports",
        "Open reports of accepted events that Redis lost.",
        "lost_accepts",
    ),
    (
        "billing_entitlements_ending_soon",
        "Grants in force that end within seven days.",
        "ending_soon",
    ),
    (
        "billing_entitlements_ended",
        "Grants whose end was within the last day.",
        "ended",
    ),
    (
        "billing_archive_updates",
        "Customers whose old payments a change reaches in steps.",
        "archive_updates",
    ),
    (
        "billing_archive_updates_oldest_seconds",
        "For how long the oldest of these updates has been under way; 0 without one.",
        "archive_updates_seconds",
    ),
    (
        "billing_approvals_bypassed_total",
        "Bulk actions that a person started alone although they need a second person's approval.",
        "approvals_bypassed",
    ),
    (
        "billing_redis_unsafe",
        "Reasons for which Redis may lose accepted events, or soon refuse them.",
        "redis_unsafe",
    ),
    (
        "billing_ingest_refusals",
        "Reasons for which this process of ingest answers 503 to every delivery.",
        "refusals",
    ),
    (
        "billing_lost_settlements_reports",
        "Open reports of a PostgreSQL that may have lost more settled events than are known.",
        "lost_settlements_reports",
    ),
    (
        "billing_stripe_paused",
        "1 while nothing asks Stripe's API in an account, because it answered 429.",
        "api_paused",
    ),
    (
        "billing_reconcile_events_put_in",
        "Events that never arrived and were put in by a reconciliation within the last day.",
        "reconcile_put_in",
    ),
    (
        "billing_reconcile_agreed_timestamp_seconds",
        "When the newest comparison began that found Stripe and Paidup agree; 0 is never.",
        "reconcile_agreed_at",
    ),
)
"""Name, meaning and field of each gauge of the shared state."""


class SharedStateCollector(Collector):
    """Read the shared state at each scrape. Several processes report it: use ``max()``."""

    def __init__(self, read: Callable[[], SharedState]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registration reads nothing."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield a family for each known value. ``read`` must not raise."""
        state = self._read()
        for name, text, attribute in _SHARED:
            value = getattr(state, attribute)
            if value is not None:
                yield GaugeMetricFamily(name, text, value=float(value))
        for name, text, label, attribute in _LABELLED:
            if (numbers := getattr(state, attribute)) is not None:
                yield _labelled(name, text, label, numbers)
        if state.api_requests is not None:
            yield _api_requests(state.api_requests)
        if (fault := state.fault_of_surroundings) is not None:
            family = GaugeMetricFamily(
                "billing_surroundings_fault",
                "1 while workers wait because every event fails, by PostgreSQL's SQLSTATE.",
                labels=["sqlstate"],
            )
            family.add_metric([fault or "none"], float(bool(fault)))
            yield family


def _labelled(name: str, text: str, label: str, numbers: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in numbers.items():
        family.add_metric([value], float(number))
    return family


def _api_requests(sent: Mapping[tuple[str, str], int]) -> CounterMetricFamily:
    family = CounterMetricFamily(
        "billing_stripe_requests",
        "Requests to Stripe's API, by what asks and by result.",
        labels=["caller", "result"],
    )
    for names in product(API_CALLERS, FETCHES):
        family.add_metric(names, float(sent.get(names, 0)))
    return family


_LABELLED: Final = (
    (
        "billing_stripe_reads_30_days",
        "Reads of Stripe's API within 30 days, by mode; Stripe allows at least 10000.",
        "mode",
        "api_reads",
    ),
    (
        "billing_unsold_prices",
        "What was paid for and grants nothing: prices, plans, payments and other objects.",
        "reason",
        "unsold",
    ),
    (
        "billing_reconcile_differences",
        "Differences between Stripe and Paidup that stand, by class.",
        "class",
        "reconcile_differences",
    ),
    (
        "billing_reconcile_run_timestamp_seconds",
        "When the newest whole comparison of each part began; 0 is never.",
        "part",
        "reconcile_runs_at",
    ),
)
"""Name, meaning, label and field of each gauge of the shared state that has a label."""


class DiskCollector(Collector):
    """Measure the disks of this machine that are Paidup's own, at each scrape."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing, so that registration measures nothing."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges of each disk, under everything that it holds."""
        disks = own_disks(self._data_dir)
        for name, text, attribute in _DISK:
            family = GaugeMetricFamily(name, text, labels=["holds"])
            for disk in disks:
                for holds in disk.holds:
                    family.add_metric([holds], float(getattr(disk, attribute)))
            yield family


_DISK: Final = (
    ("billing_disk_free_bytes", "Free bytes of a disk of this machine.", "free_bytes"),
    ("billing_disk_free_percent", "The same in percent of its size.", "free_percent"),
    ("billing_disk_low", "1 while it is time to make room.", "is_low"),
)
"""Name, meaning and attribute of each gauge of a disk."""


def render(metrics: Metrics, *shared: Collector) -> bytes:
    """Return the scrape of this process, or of all that share its metrics folder."""
    registry = CollectorRegistry()
    if folder := os.environ.get(FOLDER_VARIABLE):
        registry.register(FolderCollector(folder))
    else:
        registry.register(metrics.registry)
    for collector in shared:
        registry.register(collector)
    return generate_latest(registry)


def configure_logging(stream: TextIO, *, level: str = "info") -> None:
    """Format all log lines of the process, libraries' included: as JSON, or plainly for a terminal.

    No renderer shows local variables of a traceback, which hold secrets and bodies. What
    Alembic says about each question for the schema's revision is left out: every probe asks.
    A stream without room loses lines, and neither stops the process nor changes its exit code.
    """
    atexit.register(_drop_unwritten, stream)
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
    logging.getLogger("alembic").setLevel("DEBUG" if level == "debug" else "WARNING")
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


def _drop_unwritten(stream: TextIO) -> None:
    """Send to nowhere what the stream still holds and cannot write.

    Python flushes its streams once more at the end, and exits with 120 if one fails.
    """
    if stream.closed:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _renderers(stream: TextIO) -> list[Processor]:
    if stream.isatty():
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


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
