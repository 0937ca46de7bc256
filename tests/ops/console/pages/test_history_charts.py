from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ops.console.pages.history_charts import CHARTS, charts_of
from runtime.history.distribution import Distribution
from runtime.history.intervals import History, InboxLevels, IngestCounts, Interval, WorkerCounts

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)
INGEST = IngestCounts(
    observed_seconds=10,
    accepted=50,
    duplicate=10,
    invalid=1,
    refused=2,
    seconds=Distribution((0.002, 0.004), (50, 10)),
)
WORKERS = WorkerCounts(
    observed_seconds=10,
    by_outcome={"applied": 30, "superseded": 10},
    lag=Distribution((0.1, 0.2), (30, 10)),
)
INBOX = InboxLevels(backlog=7, oldest_due_seconds=1.5, dead_letters=3)


def history(*intervals: Interval) -> History:
    return History(intervals=intervals)


def interval(place: int, **parts: object) -> Interval:
    known = {"ingest": INGEST, "workers": WORKERS, "inbox": INBOX, **parts}
    start = BEGIN + timedelta(seconds=10 * place)
    return Interval(start=start, seconds=10, **known)  # type: ignore[arg-type]


def latest(shown: History) -> dict[str, dict[str, float | None]]:
    return {
        each.name: {drawn.name: drawn.latest for drawn in each.drawing.drawn}
        for each in charts_of(shown, ZoneInfo("UTC"))
    }


def test_each_chart_shows_what_its_title_says() -> None:
    seen = latest(history(interval(0)))

    assert seen["events"] == {"accepted": 5.0, "settled": 4.0}
    assert seen["backlog"] == {"backlog": 7}
    assert seen["age"] == {"age": 1.5}
    assert seen["declined"] == {"4xx": 6.0, "5xx": 12.0}
    assert seen["outcomes"] == {"applied": 180.0, "superseded": 60.0, "ignored": 0.0}
    assert seen["dead-letters"] == {"open": 3}
    assert 0 < (seen["answers"]["p50"] or 0) <= 2 < (seen["answers"]["p99"] or 0) <= 4
    assert 0 < (seen["lag"]["p50"] or 0) <= 100 < (seen["lag"]["p99"] or 0) <= 200


def test_a_time_that_no_process_reported_is_a_gap_in_every_chart() -> None:
    silent = interval(1, ingest=None, workers=None, inbox=None)

    for each in charts_of(history(interval(0), silent, interval(2)), ZoneInfo("UTC")):
        for series in each.drawing.series:
            assert series.values[1] is None, each.name


def test_a_day_is_drawn_with_few_points_and_every_event_in_them() -> None:
    shown = history(*(interval(place) for place in range(1000)))

    (events,) = [each for each in charts_of(shown, ZoneInfo("UTC")) if each.name == "events"]

    assert len(events.drawing.times) <= 120
    assert set(events.drawing.series[0].values) == {5.0}


def test_times_are_those_of_the_deployment() -> None:
    (first, *_) = charts_of(history(interval(0)), ZoneInfo("Europe/Berlin"))

    assert f"{first.drawing.times[0]:%H:%M}" == "13:00"


def test_every_chart_has_a_name_of_its_own() -> None:
    names = [each.name for each in CHARTS]

    assert len(set(names)) == len(names)
