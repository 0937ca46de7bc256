"""The tables of a simulation, and those on the page, which are of the results that are kept."""

from dataclasses import replace

import pytest

from bench.results_file import read_results
from bench.simulate import report
from bench.simulate.__main__ import PART
from bench.simulate.check import Compared
from bench.simulate.grid import WORKERS, SimulatedCell, simulated
from bench.simulate.times import ServiceTimes

RESULTS = read_results()[PART]
CELL = SimulatedCell.read(RESULTS["cells"][0])


def test_the_page_and_the_picture_show_the_results_that_are_kept() -> None:
    page = report.PAGE.read_text(encoding="utf-8")

    assert report.renewed_page(page, RESULTS) == page
    assert report.PICTURE.read_text(encoding="utf-8") == report.picture(RESULTS)


def test_the_results_that_are_kept_are_those_of_this_model() -> None:
    kept = next(each for each in RESULTS["cells"] if (each["rate"], each["workers"]) == (1000, 2))

    again = simulated(ServiceTimes.read(RESULTS["times"]), rate=1000, workers=2).row()

    assert again == pytest.approx(kept)


def test_a_row_has_the_lag_or_the_limit_of_each_number_of_workers() -> None:
    keeps = [replace(CELL, rate=1000, workers=number, lag_p99=123.4) for number in WORKERS]
    keeps[0] = replace(keeps[0], arrived=1000.0, settled=345.6, workers_busy=1.0)

    _, row = report.cell_rows(keeps)

    assert row == ["1,000", "workers: 350/s", *["120 ms"] * (len(WORKERS) - 1)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.04, "0.0"), (1.23, "1.2"), (12.3, "12"), (123.0, "120"), (16_234.0, "16,000")],
)
def test_figures_have_two_digits_that_count(value: float, text: str) -> None:
    rows = report.need_rows([replace(CELL, lag_p50=value)])

    assert rows[1][4] == text


def test_a_comparison_shows_the_ratio_of_simulated_to_real() -> None:
    compared = Compared(
        processes=2,
        delay_ms=10.0,
        rate=240,
        drained=500.0,
        drained_simulated=450.0,
        p50=700.0,
        p50_simulated=650.0,
        p99=1300.0,
        p99_simulated=1200.0,
        outside=1.26,
    )

    _, row = report.check_rows([compared])

    assert row == ["10", "2", "500", "450", "0.90", "240/s", "700", "650", "1300", "1200", "1.3"]


def test_the_limit_of_redis_is_what_the_fastest_installation_settles() -> None:
    assert report.redis_limit({"cells": [{"settled": 900.0}, {"settled": 16_000.0}]}) == 16_000


def test_a_table_for_the_page_and_one_for_a_terminal_have_the_same_rows() -> None:
    rows = [["events/s", "workers"], ["100", "1"]]

    assert report.markdown(rows) == "| events/s | workers |\n|---:|---:|\n| 100 | 1 |\n"
    assert report.shown("needed", rows).row_count == 1
