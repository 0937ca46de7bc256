"""Values are shown in the unit of their panel."""

from dataclasses import replace
from math import inf, nan

import pytest

from bench.dashboards.formats import format_at_axis, format_value, nice_step, series_name
from tests.bench.dashboards.panels import STAT, mapped

CLOSED = {"type": "value", "options": {"0": {"text": "closed"}, "1": {"text": "open"}}}
LONG = {"type": "range", "options": {"from": 100, "to": None, "result": {"text": "long"}}}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0"),
        (0.0123, "s", "12.3 ms"),
        (90, "s", "1.5 min"),
        (7200, "s", "2 h"),
        (172800, "s", "2 d"),
        (1536, "bytes", "1.5 KiB"),
        (3 * 1024**3, "bytes", "3 GiB"),
        (98.17, "percent", "98.2 %"),
        (12.345, "suffix: /s", "12.3 /s"),
        (21, "short", "21"),
        (12345, "short", "12.3 k"),
        (-5, "short", "-5"),
        (inf, "s", "∞"),
        (nan, "s", "-"),
    ],
)
def test_a_value_has_three_digits_and_its_unit(value: float, unit: str, text: str) -> None:
    assert format_value(value, replace(STAT, unit=unit)) == text


def test_decimals_of_the_panel_round_the_value() -> None:
    assert format_value(6.24, replace(STAT, decimals=0)) == "6"


def test_a_value_that_has_a_text_is_shown_by_it_but_not_at_the_axis() -> None:
    panel = mapped(CLOSED, LONG)

    assert [format_value(value, panel) for value in (0.0, 1.0, 2.0, 100.0, inf)] == [
        "closed",
        "open",
        "2",
        "long",
        "long",
    ]
    assert format_at_axis(0, panel) == "0"


@pytest.mark.parametrize(
    ("least", "unit", "step"),
    [
        (37.5, "short", 50),
        (37.5, "s", 60),
        (11, "s", 15),
        (4000, "s", 7200),
        (100_000, "s", 2 * 86400),
        (0.003, "s", 0.005),
        (75 * 1024**2, "bytes", 100 * 1024**2),
        (20, "short", 20),
    ],
)
def test_steps_are_round_in_the_unit(least: float, unit: str, step: float) -> None:
    assert nice_step(least, unit) == pytest.approx(step)


def test_a_legend_has_the_labels_that_it_names() -> None:
    assert series_name("{{job}} of {{other}}", {"job": "worker"}) == "worker of "
