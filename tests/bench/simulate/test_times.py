from dataclasses import replace

import pytest

from bench.simulate.times import ServiceTimes
from tests.bench.simulate.sample_times import TIMES


def test_times_survive_being_stored() -> None:
    assert ServiceTimes.read(TIMES.stored_times()) == TIMES


def test_the_cost_of_a_batch_lies_on_the_line_between_those_that_were_measured() -> None:
    cost = TIMES.batch(101)

    assert cost.worker == pytest.approx(0.004 + 100 / 199 * 0.1)
    assert cost.round_trips == pytest.approx(20 + 100 / 199 * 20)


@pytest.mark.parametrize(("events", "as_of"), [(0, 1), (1, 1), (200, 200), (300, 200)])
def test_what_is_smaller_or_larger_than_measured_costs_what_the_nearest_does(
    events: int, as_of: int
) -> None:
    assert TIMES.batch(events).events == as_of


def test_a_batch_of_large_bodies_has_fewer_events() -> None:
    assert TIMES.most_events == 200
    assert replace(TIMES, body_bytes=100_000.0).most_events == 20
    assert replace(TIMES, body_bytes=5_000_000.0).most_events == 1
