from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ops.console.pages.charts import HEIGHT, WIDTH, Chart, ChartSeries, draw_chart

BEGIN = datetime(2026, 11, 22, 12, tzinfo=UTC)

values = st.lists(st.none() | st.floats(0, 1e9, allow_subnormal=False), min_size=1, max_size=30)


def chart_of(*series: list[float | None]) -> Chart:
    times = [BEGIN + timedelta(seconds=10 * n) for n in range(len(series[0]))]
    named = [ChartSeries(name=f"s{n}", values=each) for n, each in enumerate(series)]
    return draw_chart("Rates", "events/s", times, named)


def points(path: str) -> list[tuple[float, float]]:
    flat = path.replace("Z", "").replace("h1", "").replace("M", "L")
    pairs = (point.split(" ") for point in flat.split("L") if point)
    return [(float(x), float(y)) for x, y in pairs]


@given(values)
def test_every_known_value_is_a_point_within_the_drawing(series: list[float | None]) -> None:
    (drawn,) = chart_of(series).drawn

    found = points(drawn.path)

    assert len(found) == sum(value is not None for value in series)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in found)


@given(values)
def test_a_greater_value_stands_no_lower(series: list[float | None]) -> None:
    (drawn,) = chart_of(series).drawn
    known = [value for value in series if value is not None]

    by_value = sorted(zip(known, (y for _, y in points(drawn.path)), strict=True))

    heights = [y for _, y in by_value]
    assert heights == sorted(heights, reverse=True)


@given(values)
def test_the_lines_across_begin_at_zero_and_reach_above_every_value(
    series: list[float | None],
) -> None:
    drawn = chart_of(series)
    labels = [float(tick.label) for tick in drawn.across]

    assert labels[0] == 0
    assert labels[-1] >= max((value for value in series if value is not None), default=0) * 0.99999
    assert 2 <= len(labels) <= 4


def test_a_gap_parts_the_line_and_a_lone_point_is_a_dash() -> None:
    (drawn,) = chart_of([1.0, 2.0, None, 3.0]).drawn

    assert drawn.path.count("M") == 2
    assert drawn.path.endswith("h1")
    assert drawn.area.count("Z") == 2


def test_only_the_first_series_is_filled() -> None:
    first, second = chart_of([1.0, 2.0], [2.0, 1.0]).drawn

    assert first.area
    assert not second.area


def test_without_any_value_the_axes_are_still_there() -> None:
    drawn = chart_of([None, None])

    assert drawn.drawn[0].path == ""
    assert drawn.drawn[0].latest is None
    assert [tick.label for tick in drawn.along] == ["12:00", "12:00"]
