import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.history.reader import last_interval
from runtime.history.spans import DAY, HOUR, HistorySpan


def written(span: HistorySpan, now: float) -> int:
    """Return the number of the interval that a report of this time belongs to."""
    short = int((now - HOUR.seconds / 2) // HOUR.seconds)
    return short * HOUR.seconds // span.seconds


@pytest.mark.parametrize("span", [HOUR, DAY])
@given(now=st.floats(1e9, 1e10))
def test_no_interval_that_is_shown_gives_its_place_to_the_one_that_is_written(
    span: HistorySpan, now: float
) -> None:
    last = last_interval(span, now)
    first = last - span.shown + 1

    assert last <= written(span, now) < first + span.places


def test_the_spans_are_an_hour_and_a_day() -> None:
    assert (HOUR.shown * HOUR.seconds, DAY.shown * DAY.seconds) == (3600, 86400)
    assert HOUR.key != DAY.key
