"""A picture shows what Prometheus answered: lines, gaps, limits, numbers and names."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from math import nan

import pytest

from bench.dashboards.drawing import PictureTimes, PromSeries, Series, as_series, draw
from bench.dashboards.reading import DashboardPanel
from tests.bench.dashboards.panels import LINES, STAT, dashboard

TIMES = PictureTimes(start=0, end=60, step=10)


def series(name: str, *values: float | None, **labels: str) -> PromSeries:
    points = [(10.0 * n, value) for n, value in enumerate(values) if value is not None]
    return PromSeries(name=name, labels=labels, points=points)


def drawn(panel: DashboardPanel, *shown: PromSeries, notes: Series = ()) -> str:
    return draw(dashboard(panel), {panel.number: shown}, notes, TIMES)


def texts(picture: str) -> list[str]:
    return [text for text in ET.fromstring(picture).itertext() if text.strip()]  # noqa: S314


def heights(picture: str) -> list[list[float]]:
    """Return the heights of the points of each line, upwards."""
    lines = re.findall(r'<polyline points="([^"]+)"', picture)
    return [[-float(p.partition(",")[2]) for p in line.split()] for line in lines]


def test_it_says_what_it_is_and_that_grafana_did_not_draw_it() -> None:
    shown = texts(drawn(LINES, series("ingest", 1, 2)))

    assert shown[0] == "A test"
    assert "not by Grafana" in shown[1]
    assert {"Events", "ingest"} <= set(shown)


def test_a_line_rises_with_its_values_and_breaks_at_a_gap() -> None:
    first, second = heights(drawn(LINES, series("a", 1, 2, 3, None, None, 2, 1)))

    assert first == sorted(first)
    assert second == sorted(second, reverse=True)
    assert (len(first), len(second)) == (3, 2)


def test_a_lone_point_and_one_beside_no_number_are_still_seen() -> None:
    (line,) = heights(drawn(LINES, series("a", nan, 4, nan)))

    assert len(line) == 2


def test_stacked_series_lie_upon_each_other() -> None:
    panel = replace(LINES, is_stacked=True)
    above, below = heights(drawn(panel, series("a", 0, 1), series("b", 0, 2)))

    assert (below[1] - below[0]) * 3 == pytest.approx(above[1] - above[0], abs=0.5)


def test_values_below_zero_have_room() -> None:
    shown = texts(drawn(LINES, series("a", -5, 5)))

    assert {"-5", "0", "5"} <= set(shown)


@pytest.mark.parametrize(
    ("unit", "highest", "labels"),
    [
        ("bytes", 300 * 1024**2, {"100 MiB", "200 MiB", "300 MiB"}),
        ("s", 150, {"1 min", "2 min", "3 min"}),
        ("suffix: /s", 40, {"10 /s", "40 /s"}),
    ],
)
def test_the_axis_has_round_numbers_in_the_unit(
    unit: str, highest: float, labels: set[str]
) -> None:
    assert labels <= set(texts(drawn(replace(LINES, unit=unit), series("a", 0, highest))))


def test_the_axis_of_counts_has_whole_numbers() -> None:
    assert "0.5" in texts(drawn(LINES, series("a", 1)))
    assert "0.5" not in texts(drawn(replace(LINES, decimals=0), series("a", 1)))


def test_a_limit_is_a_dashed_line_where_it_is_in_sight() -> None:
    panel = replace(LINES, shows_steps=True, steps=[(None, "green"), (10, "yellow"), (90, "red")])

    assert drawn(panel, series("a", 20)).count('stroke-dasharray="6 4"') == 1
    assert drawn(panel, series("a", 5)).count('stroke-dasharray="6 4"') == 0


def test_each_beginning_of_an_alert_is_marked() -> None:
    fires = series("", None, 1, 1, None, None, 1)

    picture = drawn(LINES, series("a", 1, 1, 1), notes=[fires])

    assert picture.count('stroke-dasharray="2 3"') == 2


@pytest.mark.parametrize(
    ("value", "colour"), [(0, "#2c8a3d"), (1, "#b88200"), (9, "#b88200"), (10, "#c4162a")]
)
def test_a_number_has_the_colour_of_the_highest_step_that_it_reaches(
    value: float, colour: str
) -> None:
    panel = replace(STAT, steps=[(None, "green"), (1, "yellow"), (10, "red")])

    assert f'fill="{colour}">{value}<' in drawn(panel, series("", value))


def test_several_numbers_have_their_names() -> None:
    assert {"1", "there", "2", "needed"} <= set(
        texts(drawn(STAT, series("there", 1), series("needed", 2)))
    )


def test_a_table_lists_alerts_with_their_severity() -> None:
    panel = replace(LINES, kind="table")
    rows: list[Mapping[str, str]] = [
        {"alertname": "PaidupLag", "severity": "page"},
        {"alertname": "PaidupDown", "severity": "page"},
    ]

    shown = texts(drawn(panel, *(series("", 1, **row) for row in rows)))

    assert shown[-6:] == ["alertname", "severity", "PaidupDown", "page", "PaidupLag", "page"]


@pytest.mark.parametrize("kind", ["timeseries", "stat", "table"])
def test_a_panel_without_an_answer_says_so(kind: str) -> None:
    assert "no data" in texts(drawn(replace(LINES, kind=kind)))


def test_a_kind_of_panel_that_it_cannot_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="Events: no drawing of a panel 'heatmap'"):
        drawn(replace(LINES, kind="heatmap"), series("a", 1))


def test_names_that_need_two_lines_leave_less_for_the_plot() -> None:
    long = [series("a name of some length " * 2 + str(n), 1) for n in range(4)]

    few, many = drawn(LINES, long[0]), drawn(LINES, *long)

    assert max(map(max, heights(many))) == max(map(max, heights(few)))
    assert lowest_axis(many) < lowest_axis(few)


def lowest_axis(picture: str) -> float:
    return max(float(y) for y in re.findall(r'<line [^>]*y1="([\d.]+)"', picture))


def test_answers_of_both_kinds_become_series_by_name() -> None:
    at_once = [{"metric": {"job": "b"}, "value": [5, "1"]}]
    over_time = [
        {"metric": {"job": "b"}, "values": [[5, "1"], [6, "NaN"]]},
        {"metric": {"job": "a"}, "values": [[5, "2"]]},
    ]

    assert as_series(at_once, "{{job}}") == [
        PromSeries(name="b", labels={"job": "b"}, points=[(5.0, 1.0)])
    ]
    assert [each.name for each in as_series(over_time, "{{job}}")] == ["a", "b"]
