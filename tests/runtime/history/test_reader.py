from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from runtime.history.intervals import History, Interval
from runtime.history.reader import history_of
from runtime.history.spans import DAY, HOUR, HistorySpan

LAST = 178_000_001
"""The number of the last short interval that is shown."""
NOW = (LAST + 1) * 10 + 5.0


def read(*fields: str, span: HistorySpan = HOUR) -> History:
    return history_of(span, (field.encode() for field in fields), now=NOW)


def last(*fields: str, span: HistorySpan = HOUR) -> Interval:
    return read(*fields, span=span).intervals[-1]


@pytest.mark.parametrize("span", [HOUR, DAY])
def test_a_span_has_all_its_intervals_in_order_whatever_is_stored(span: HistorySpan) -> None:
    intervals = read(span=span).intervals

    assert len(intervals) == span.shown
    assert {each.seconds for each in intervals} == {span.seconds}
    steps = {later.start - earlier.start for earlier, later in pairwise(intervals)}
    assert steps == {timedelta(seconds=span.seconds)}
    assert all((each.ingest, each.workers, each.inbox) == (None, None, None) for each in intervals)


def test_an_interval_is_shown_once_all_processes_have_reported_it() -> None:
    at = f"at={LAST} ingest=1 accepted=3"

    before = history_of(HOUR, [at.encode()], now=(LAST + 1) * 10 + 3.9)

    assert before.intervals[-1].start == datetime.fromtimestamp((LAST - 1) * 10, UTC)
    assert last(at).start == datetime.fromtimestamp(LAST * 10, UTC)


def test_counts_become_rates_and_classes() -> None:
    interval = last(
        f"at={LAST} ingest=2 accepted=30 duplicate=4 invalid=2 refused=1 answer|0.005=34"
        " worker=4 applied=20 superseded=1 ignored=4 lag|+Inf=25"
    )

    assert interval.ingest is not None
    assert interval.ingest.accepted_per_second == 3.0
    assert interval.ingest.by_class == {"2xx": 34, "4xx": 2, "5xx": 1}
    assert interval.ingest.seconds.total == 34
    assert interval.ingest.seconds.percentile(1) == 0.005
    assert interval.workers is not None
    assert interval.workers.settled_per_second == 2.5
    assert interval.workers.by_outcome == {"applied": 20, "superseded": 1, "ignored": 4}
    assert interval.workers.lag.percentile(0.5) == 86400.0


def test_a_quiet_process_counts_zero_and_one_that_is_down_has_a_gap() -> None:
    interval = last(f"at={LAST} ingest=1")

    assert interval.ingest is not None
    assert interval.ingest.accepted_per_second == 0.0
    assert interval.ingest.seconds.percentile(0.5) is None
    assert interval.workers is None
    assert interval.inbox is None


def test_dead_letters_are_unknown_while_postgresql_is() -> None:
    interval = last(f"at={LAST} leader=1 backlog=12 oldest_due_ms=1500")

    assert interval.inbox is not None
    assert (interval.inbox.backlog, interval.inbox.oldest_due_seconds) == (12, 1.5)
    assert interval.inbox.dead_letters is None


def test_a_long_interval_is_divided_by_the_time_in_which_processes_reported() -> None:
    interval = last(f"at={LAST // 30} ingest=3 accepted=60 worker=31 applied=3000", span=DAY)

    assert interval.start == datetime.fromtimestamp(LAST // 30 * 300, UTC)
    assert interval.ingest is not None
    assert interval.ingest.accepted_per_second == 2.0
    assert interval.workers is not None
    assert interval.workers.settled_per_second == 10.0


@pytest.mark.parametrize("number", [LAST + 1, LAST + 360, LAST - 360])
def test_intervals_of_another_time_are_not_shown(number: int) -> None:
    intervals = read(f"at={number} ingest=1 accepted=3").intervals

    assert all(each.ingest is None for each in intervals)


def test_names_and_bounds_of_another_release_disturb_nothing() -> None:
    interval = last(f"at={LAST} ingest=1 accepted=3 invented=4 answer|0.005=1 answer|0.007=2 x|1=9")

    assert interval.ingest is not None
    assert interval.ingest.accepted == 3
    assert interval.ingest.seconds.total == 3
    assert interval.ingest.seconds.percentile(1) == 0.007
