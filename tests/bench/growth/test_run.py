"""A run measures every kind of event after every past, and what is too slow only once."""

from collections import deque
from typing import Any, cast

import pytest

from bench.growth import grants
from bench.growth.parties import KINDS
from bench.growth.run import AT_ONCE, GrowthCell, GrowthRun, GrowthScale, GrowthTurn, take_turns
from bench.growth.system import DrainingSystem, LoneCost
from bench.machine import BenchMachine

SYSTEM = cast("DrainingSystem", None)


@pytest.mark.servers
def test_a_run_measures_every_kind_after_every_past(own_machine: BenchMachine) -> None:
    scale = GrowthScale(sizes=(0, 3), rounds=2, at_once=3, seconds=300)

    cells = GrowthRun(own_machine, scale, lambda _: None).run()

    names = [*(kind.name for kind in KINDS), grants.NAME]
    assert {(cell.event, cell.size) for cell in cells} == {
        *((name, size) for name in names for size in (0, 3)),
        *((name.format(3), 0) for name in AT_ONCE.values()),
    }
    assert all(len(cell.costs) == 2 and not cell.too_slow for cell in cells)
    assert all(cost.worker > 0 and cost.postgresql > 0 for cell in cells for cost in cell.costs)
    assert all(cell.read for cell in cells if cell.event in names)


@pytest.mark.servers
def test_moves_are_measured_at_once_and_in_steps(
    own_machine: BenchMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.ledger.load_past.IN_STEPS_ABOVE", 10)
    monkeypatch.setattr("runtime.ledger.maintenance.archive_updates.ARCHIVES_AT_ONCE", 10)
    scale = GrowthScale(sizes=(0, 40), rounds=1, at_once=3, seconds=300)
    run = GrowthRun(own_machine, scale, lambda _: None)
    run.run()

    (costs,) = run.moves(2)

    assert (costs.size, len(costs.at_once), len(costs.first)) == (40, 2, 2)
    assert all(len(steps) > 2 for steps in costs.steps)
    everything = [*costs.at_once, *costs.first, *costs.steps[0]]
    assert all(cost.worker > 0 for cost in everything)


class Measured:
    """A measure that takes too long the n-th time, and counts how often it was called."""

    def __init__(self, *, slow_at: int = 0) -> None:
        self.times = 0
        self._slow_at = slow_at

    def __call__(self, _: object) -> LoneCost:
        self.times += 1
        if self.times == self._slow_at:
            raise TimeoutError
        return LoneCost(float(self.times), 1.0)


def turn(cell: GrowthCell, measure: Any, *, counts: bool = True) -> GrowthTurn:
    return GrowthTurn(cell=cell, counts=counts, measure=measure)


def test_a_turn_that_warms_up_does_not_count() -> None:
    cell, measure = GrowthCell(event="payment", size=0), Measured()

    take_turns(
        deque([turn(cell, measure, counts=False), turn(cell, measure)]), SYSTEM, lambda _: None
    )

    assert cell.costs == [LoneCost(2.0, 1.0)]


def test_after_a_turn_that_is_too_slow_the_others_wait_for_another_system() -> None:
    slow, fast = GrowthCell(event="slow", size=10), GrowthCell(event="fast", size=0)
    slow_measure, fast_measure = Measured(slow_at=2), Measured()
    turns = deque(
        turn(cell, measure)
        for _ in range(3)
        for cell, measure in ((slow, slow_measure), (fast, fast_measure))
    )
    lines: list[str] = []

    take_turns(turns, SYSTEM, lines.append)

    assert (slow.too_slow, len(turns), lines) == (True, 3, ["too slow: slow, after 10"])

    take_turns(turns, SYSTEM, lines.append)

    assert (slow_measure.times, len(fast.costs), len(turns)) == (2, 3, 0)


def test_a_share_of_a_cost_is_that_of_one_event() -> None:
    assert LoneCost(9.0, 3.0).share(3) == LoneCost(3.0, 1.0)
    assert LoneCost(9.0, 3.0).together == 12.0
