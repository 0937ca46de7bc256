"""Take what a process reports from the metrics that it keeps anyway, without a file or a server.

The names here are those in Redis. A process of another release may add names, which readers
without a use for them ignore, and the names of a histogram hold the bounds of its buckets.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from prometheus_client import Counter, Histogram

from runtime.inbox.entries import Backlog
from runtime.telemetry import Metrics

Kind = Literal["ingest", "worker", "leader"]
"""The kinds of processes that report, each by its name in Redis."""

ANSWER: Final = "answer"
LAG: Final = "lag"
BACKLOG: Final = "backlog"
OLDEST_DUE: Final = "oldest_due_ms"
DEAD_LETTERS: Final = "dead_letters"

BOUND: Final = "|"
"""Stands between the name of a histogram and the highest value of a bucket."""

Totals = Mapping[str, int]
"""Numbers since the start of a process, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The values of one process for one interval."""

    counts: Totals = field(default_factory=dict)
    """Added to what other processes counted."""
    levels: Mapping[str, int] = field(default_factory=dict)
    """The highest of an interval stays."""


class NewCounts:
    """The counts of a process since the last call, or since this was made."""

    def __init__(self, read: Callable[[], Totals]) -> None:
        self._read = read
        self._before = read()

    def __call__(self) -> Report:
        """Return what is new."""
        now, before = self._read(), self._before
        self._before = now
        steps = {name: total - before.get(name, 0) for name, total in now.items()}
        return Report(counts={name: step for name, step in steps.items() if step > 0})


def ingest_totals(metrics: Metrics) -> Totals:
    """Return the deliveries by result, and the times of the 2xx by bucket."""
    return {
        **_by_label(metrics.webhook_received, "result"),
        **_by_bucket(ANSWER, metrics.webhook_ack_seconds),
    }


def worker_totals(metrics: Metrics) -> Totals:
    """Return the settled events by outcome, and their lags by bucket."""
    return {
        **_by_label(metrics.events_settled, "outcome"),
        **_by_bucket(LAG, metrics.event_lag_seconds),
    }


def inbox_report(backlog: Backlog, dead_letters: int | None) -> Report:
    """Return what only the supervisor that leads reports; None if PostgreSQL is not known."""
    levels = {BACKLOG: backlog.events, OLDEST_DUE: round(backlog.waiting_seconds * 1000)}
    if dead_letters is not None:
        levels[DEAD_LETTERS] = dead_letters
    return Report(levels=levels)


def _by_label(counter: Counter, label: str) -> Totals:
    totals: dict[str, int] = {}
    for labels, value in _samples(counter, "_total"):
        totals[labels[label]] = totals.get(labels[label], 0) + value
    return totals


def _by_bucket(name: str, histogram: Histogram) -> Totals:
    """Return each bucket by itself; the samples of the library hold those below, too."""
    totals: dict[str, int] = {}
    below = 0
    for labels, value in _samples(histogram, "_bucket"):
        totals[f"{name}{BOUND}{labels['le']}"] = value - below
        below = value
    return totals


def _samples(metric: Counter | Histogram, suffix: str) -> Iterator[tuple[dict[str, str], int]]:
    for family in metric.collect():
        for sample in family.samples:
            if sample.name.endswith(suffix):
                yield sample.labels, int(sample.value)
