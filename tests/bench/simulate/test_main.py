from contextlib import nullcontext
from typing import Any

import pytest
from click.testing import CliRunner, Result

import bench.simulate.__main__ as command
from bench import report as bench_report
from bench.simulate import check, grid, measure, report, waiting
from bench.simulate.grid import SimulatedCell, simulated
from bench.simulate.times import ServiceTimes
from tests.bench.simulate.sample_times import TIMES

STORED = TIMES.stored_times()


class RecordedRun:
    """A run whose simulations and measurements are replaced."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.results: dict[str, Any] = {}
        self.done: list[str] = []

    def invoke(self, *arguments: str) -> Result:
        return CliRunner().invoke(command.main, arguments)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> RecordedRun:
    run = RecordedRun()
    cell = simulated(TIMES, rate=100, workers=1, seconds=2)

    def few(times: ServiceTimes, _tell: object) -> list[SimulatedCell]:
        assert times == TIMES
        return [cell]

    def measured(_servers: object, scale: object, _tell: object) -> ServiceTimes:
        run.done.append(f"measured {scale is measure.FULL}")
        return TIMES

    def checked(_servers: object, times: object, _scale: object, _tell: object) -> list[Any]:
        run.done.append(f"checked {times == TIMES}")
        return []

    def sized(_servers: object, events: int, _tell: object) -> list[Any]:
        run.done.append(f"sized {events}")
        return []

    monkeypatch.setattr(command, "read_results", lambda: run.results)
    monkeypatch.setattr(command, "keep_results", run.kept.append)
    monkeypatch.setattr(command, "machine", lambda _: nullcontext())
    monkeypatch.setattr(bench_report, "versions", lambda _: {"python": "3"})
    monkeypatch.setattr(report, "write", run.kept.append)
    monkeypatch.setattr(grid, "cells", few)
    monkeypatch.setattr(grid, "needs", few)
    monkeypatch.setattr(measure, "measure", measured)
    monkeypatch.setattr(check, "check", checked)
    monkeypatch.setattr(waiting, "waiting_sizes", sized)
    return run


def test_times_that_are_kept_are_simulated_and_nothing_is_measured(run: RecordedRun) -> None:
    run.results = {"simulation": {"times": STORED, "check": [], "waiting": []}}

    result = run.invoke()

    assert result.exit_code == 0, result.output
    assert run.done == []
    part, page = run.kept
    assert part == {"simulation": page}
    assert page["cells"][0]["rate"] == 100
    assert "the least workers that keep up" in result.output


def test_without_times_it_says_how_to_get_them(run: RecordedRun) -> None:
    result = run.invoke()

    assert result.exit_code == 1
    assert "--measure" in result.output
    assert run.kept == []


def test_times_are_measured_and_then_compared_with_real_runs(run: RecordedRun) -> None:
    result = run.invoke("--measure", "--check")

    assert result.exit_code == 0, result.output
    assert run.done == ["measured True", "sized 3000", "checked True"]
    assert run.kept[-1]["made_with"] == {"python": "3"}


def test_a_check_leaves_the_times_as_they_are(run: RecordedRun) -> None:
    run.results = {"simulation": {"times": STORED, "made_with": {"python": "older"}}}

    result = run.invoke("--check", "--no-keep")

    assert result.exit_code == 0, result.output
    assert run.done == ["checked True"]
    assert run.kept == []
