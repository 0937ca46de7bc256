"""Choose the charts of the overview: a history in, drawings out. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final
from zoneinfo import ZoneInfo

from ops.console.pages.charts import Chart, ChartSeries, draw_chart
from runtime.history.distribution import Distribution
from runtime.history.intervals import History, Interval
from runtime.history.joined import join_intervals
from runtime.telemetry import OUTCOMES

_MILLISECONDS: Final = 1000
_MINUTE: Final = 60
_PLACES: Final = 120
"""Points along a chart at most, so that eight of them stay a small page."""
_MEDIAN: Final = 0.5
_SLOWEST: Final = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSeries:
    """One line of a chart, and where its values come from; None is a gap."""

    name: str
    value: Callable[[Interval], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedChart:
    """One chart of the overview; ``name`` is part of its table's URL."""

    name: str
    title: str
    unit: str
    series: tuple[PlannedSeries, ...]
    decimals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChart:
    """A drawing, its name, and the decimals with which its numbers are shown."""

    name: str
    drawing: Chart
    decimals: int


def charts_of(history: History, zone: ZoneInfo) -> Sequence[ShownChart]:
    """Return the charts of a history, with times in the zone."""
    history = join_intervals(history, ceil(len(history.intervals) / _PLACES))
    times = [each.start.astimezone(zone) for each in history.intervals]
    return [
        ShownChart(
            name=planned.name,
            drawing=draw_chart(
                planned.title,
                planned.unit,
                times,
                [
                    ChartSeries(
                        name=series.name, values=[series.value(each) for each in history.intervals]
                    )
                    for series in planned.series
                ],
            ),
            decimals=planned.decimals,
        )
        for planned in CHARTS
    ]


def _answers(share: float) -> Callable[[Interval], float | None]:
    return lambda each: _milliseconds(each.ingest.seconds, share) if each.ingest else None


def _lag(share: float) -> Callable[[Interval], float | None]:
    return lambda each: _milliseconds(each.workers.lag, share) if each.workers else None


def _milliseconds(measured: Distribution, share: float) -> float | None:
    seconds = measured.percentile(share)
    return None if seconds is None else seconds * _MILLISECONDS


def _outcome(outcome: str) -> Callable[[Interval], float | None]:
    def per_minute(each: Interval) -> float | None:
        settled = each.workers
        if settled is None:
            return None
        return settled.by_outcome.get(outcome, 0) * _MINUTE / settled.observed_seconds

    return per_minute


def _answered(status: str) -> Callable[[Interval], float | None]:
    def per_minute(each: Interval) -> float | None:
        ingest = each.ingest
        if ingest is None:
            return None
        return ingest.by_class[status] * _MINUTE / ingest.observed_seconds

    return per_minute


CHARTS: Final = (
    PlannedChart(
        name="events",
        title="Events",
        unit="per second",
        decimals=1,
        series=(
            PlannedSeries(
                name="accepted",
                value=lambda each: each.ingest.accepted_per_second if each.ingest else None,
            ),
            PlannedSeries(
                name="settled",
                value=lambda each: each.workers.settled_per_second if each.workers else None,
            ),
        ),
    ),
    PlannedChart(
        name="lag",
        title="From accepted to applied",
        unit="ms",
        series=(
            PlannedSeries(name="p50", value=_lag(_MEDIAN)),
            PlannedSeries(name="p99", value=_lag(_SLOWEST)),
        ),
    ),
    PlannedChart(
        name="backlog",
        title="In the inbox",
        unit="events",
        series=(
            PlannedSeries(
                name="backlog", value=lambda each: each.inbox.backlog if each.inbox else None
            ),
        ),
    ),
    PlannedChart(
        name="age",
        title="Age of the oldest due event",
        unit="s",
        decimals=1,
        series=(
            PlannedSeries(
                name="age",
                value=lambda each: each.inbox.oldest_due_seconds if each.inbox else None,
            ),
        ),
    ),
    PlannedChart(
        name="answers",
        title="Answers to Stripe",
        unit="ms",
        decimals=1,
        series=(
            PlannedSeries(name="p50", value=_answers(_MEDIAN)),
            PlannedSeries(name="p99", value=_answers(_SLOWEST)),
        ),
    ),
    PlannedChart(
        name="declined",
        title="Declined deliveries",
        unit="per minute",
        decimals=1,
        series=(
            PlannedSeries(name="4xx", value=_answered("4xx")),
            PlannedSeries(name="5xx", value=_answered("5xx")),
        ),
    ),
    PlannedChart(
        name="outcomes",
        title="Outcomes",
        unit="per minute",
        decimals=1,
        series=tuple(PlannedSeries(name=outcome, value=_outcome(outcome)) for outcome in OUTCOMES),
    ),
    PlannedChart(
        name="dead-letters",
        title="Open dead letters",
        unit="letters",
        series=(
            PlannedSeries(
                name="open", value=lambda each: each.inbox.dead_letters if each.inbox else None
            ),
        ),
    ),
)
