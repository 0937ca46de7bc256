"""The same code as in a long run, on small samples: what is measured, and what is compared."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from bench.machine import BenchMachine, machine
from bench.simulate import check, measure

pytestmark = pytest.mark.servers


@pytest.fixture
def own_machine(servers_folder: Path) -> Iterator[BenchMachine]:
    """Servers of a benchmark, below the folder of the session, which removes it."""
    folder = Path(mkdtemp(dir=servers_folder))
    folder.chmod(0o755)
    with machine(folder) as servers:
        yield servers


def test_service_times_are_measured_and_real_runs_compared_with_their_simulation(
    own_machine: BenchMachine,
) -> None:
    told: list[str] = []

    times = measure.measure(own_machine, measure.BRIEF, told.append)
    compared = check.check(own_machine, times, check.BRIEF, told.append)

    lone, several = times.batches
    assert (lone.events, several.events) == (1, 20)
    # An event of several costs less than one alone, by far: no other work changes that.
    for part in ("worker", "postgresql", "redis"):
        assert 0 < getattr(several, part) < 20 * getattr(lone, part)
    assert lone.round_trips > 5
    assert times.accept_event > 0
    assert 1000 < times.body_bytes < 10_000
    assert times.wake >= 0
    assert [each.processes for each in compared] == [1, 2]
    for each in compared:
        assert each.delay_ms == pytest.approx(measure.DELAY_SECONDS * 2000)
        assert 0.02 < each.ratio < 50
        assert 0 < each.p50 <= each.p99
        assert 0 < each.p50_simulated <= each.p99_simulated
        assert each.outside >= 0
    assert told[-1] == "2 worker processes, 10 ms from PostgreSQL"
