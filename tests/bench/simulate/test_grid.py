from dataclasses import replace

import pytest

from bench.simulate import grid
from bench.simulate.grid import SimulatedCell, needed, simulated
from tests.bench.simulate.sample_times import TIMES


@pytest.fixture(scope="module")
def cell() -> SimulatedCell:
    return simulated(TIMES, rate=200, workers=2, seconds=10)


def test_a_cell_has_what_was_asked_for_and_what_came_of_it(cell: SimulatedCell) -> None:
    assert (cell.rate, cell.workers, cell.distance_ms) == (200, 2, 0.5)
    assert cell.settled == pytest.approx(cell.arrived, rel=0.05)
    assert 0 < cell.lag_p50 < cell.lag_p95 < cell.lag_p99 < 1000
    assert 0 <= cell.age_p50 <= cell.age_p99 <= cell.age_most < 1
    assert cell.limit is None


def test_a_cell_survives_being_stored(cell: SimulatedCell) -> None:
    assert SimulatedCell.read(cell.row()) == cell


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"settled": 100.0, "workers_busy": 0.99}, "workers"),
        ({"settled": 100.0, "redis": 0.99}, "Redis"),
        ({"settled": 100.0, "postgresql": 7.9}, "PostgreSQL"),
        ({"age_most": 10.0, "workers_busy": 0.99}, "workers"),
        ({"workers_busy": 0.99}, None),
    ],
)
def test_the_busiest_part_is_the_limit_of_what_does_not_keep_up(
    cell: SimulatedCell, changes: dict[str, float], limit: str | None
) -> None:
    assert replace(cell, **changes).limit == limit  # type: ignore[arg-type]


def test_the_least_workers_that_keep_up_are_found() -> None:
    found = needed(TIMES, rate=2500, distance_ms=2.0)

    assert found is not None
    assert found.keeps_up
    assert found.workers > 1
    assert not simulated(TIMES, rate=2500, workers=found.workers - 1, distance_ms=2.0).keeps_up


def test_no_number_of_workers_is_found_where_none_keeps_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grid, "_MOST_WORKERS", 2)

    assert needed(TIMES, rate=5000, distance_ms=2.0) is None
