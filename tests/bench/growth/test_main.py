from contextlib import nullcontext
from typing import Any

import pytest
from click.testing import CliRunner

import bench.growth.__main__ as command
from bench import report
from bench.growth import page
from bench.growth.moves import MoveCosts
from bench.growth.parties import PAYMENTS
from bench.growth.run import GrowthCell, GrowthScale
from bench.growth.system import LoneCost


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replace the measurement, and return what is kept: scales, results and pages."""
    kept: list[Any] = []

    class FakeRun:
        def __init__(self, _machine: object, scale: GrowthScale, _tell: object) -> None:
            kept.append(scale)

        def run(self) -> list[GrowthCell]:
            return [GrowthCell(event=PAYMENTS.name, size=0, costs=[LoneCost(1.0, 0.5)])]

        def moves(self, _rounds: int) -> list[MoveCosts]:
            return []

    monkeypatch.setattr(command, "machine", lambda _: nullcontext())
    monkeypatch.setattr(command, "GrowthRun", FakeRun)
    monkeypatch.setattr(report, "versions", lambda _: {})
    monkeypatch.setattr(command, "keep_results", kept.append)
    monkeypatch.setattr(page, "write", kept.append)
    return kept


def test_sizes_are_sorted_and_a_new_party_is_always_among_them(kept: list[Any]) -> None:
    result = CliRunner().invoke(command.main, ["--sizes", "1000,100", "--no-keep"])

    assert result.exit_code == 0, result.output
    assert [scale.sizes for scale in kept] == [(0, 100, 1000)]


@pytest.mark.parametrize("sizes", ["some", "10,-1", ""])
def test_sizes_that_are_none_are_refused(kept: list[Any], sizes: str) -> None:
    result = CliRunner().invoke(command.main, ["--sizes", sizes])

    assert (result.exit_code, kept) == (2, [])


def test_the_part_of_the_results_and_the_page_are_written(kept: list[Any]) -> None:
    result = CliRunner().invoke(command.main, [])

    assert result.exit_code == 0, result.output
    _, results, shown = kept
    assert results == {"growth": shown}
    assert shown["cells"][0]["worker_ms"] == 1.0
    assert PAYMENTS.name.split()[0] in result.output
