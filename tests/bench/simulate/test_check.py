"""The same code as in a long run, on small samples: what is measured, and what is compared."""

import pytest

from bench.machine import BenchMachine
from bench.simulate import check, measure

pytestmark = pytest.mark.servers


def test_service_times_are_measured_and_real_runs_compared_with_their_simulation(
    own_machine: BenchMachine,
) -> None:
    messages: list[str] = []

    times = measure.measure(own_machine, measure.BRIEF, messages.append)
    compared = check.check(own_machine, times, check.BRIEF, messages.append)

    lone, several = times.batches
    assert (lone.events, several.events) == (1, 20)
    for part in ("worker", "postgresql", "redis"):
        assert getattr(lone, part) > 0
        assert getattr(several, part) > 0
    assert lone.round_trips > 5
    assert times.accept_event > 0
    assert 1000 < times.body_bytes < 10_000
    assert times.wake >= 0
    (each,) = compared
    assert each.processes == 2
    assert each.delay_ms == pytest.approx(measure.DELAY_SECONDS * 2000)
    assert 0.02 < each.ratio < 50
    assert 0 < each.p50 <= each.p99
    assert 0 < each.p50_simulated <= each.p99_simulated
    assert each.outside >= 0
    assert messages[-1] == "2 worker processes, 10 ms from PostgreSQL"
