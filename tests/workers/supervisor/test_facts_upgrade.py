"""The supervisor that leads reads again what an earlier release read, until nothing is left."""

import pytest

from runtime.time_limits import FACTS_UPGRADE_LOOK_SECONDS
from tests.workers.fakes import ManualClock
from workers.supervisor.facts_upgrade import FactsUpgrade


class Readings:
    """Returns these counts one after the other, then 0."""

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return self.counts.pop(0) if self.counts else 0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def job(
    readings: Readings, clock: ManualClock, *, leads: bool = True, stopping: bool = False
) -> FactsUpgrade:
    return FactsUpgrade(readings, lambda: leads, clock, lambda: stopping)


def test_it_reads_until_nothing_is_left_and_looks_again_later(clock: ManualClock) -> None:
    readings = Readings(50, 50, 7)
    upgrade = job(readings, clock)

    upgrade.run_if_due()
    upgrade.run_if_due()

    assert readings.calls == 4
    clock.now += FACTS_UPGRADE_LOOK_SECONDS
    upgrade.run_if_due()
    assert readings.calls == 5


def test_only_the_supervisor_that_leads_reads(clock: ManualClock) -> None:
    readings = Readings(50)

    job(readings, clock, leads=False).run_if_due()

    assert readings.calls == 0


def test_a_stop_ends_it_between_two_parties(clock: ManualClock) -> None:
    readings = Readings(50)

    job(readings, clock, stopping=True).run_if_due()

    assert readings.calls == 0


def test_an_error_ends_one_run_and_the_next_one_goes_on(clock: ManualClock) -> None:
    readings = Readings(50)
    upgrade = FactsUpgrade(FailsOnce(readings), lambda: True, clock, lambda: False)

    with pytest.raises(RuntimeError):
        upgrade.run_if_due()
    upgrade.run_if_due()

    assert readings.calls == 2


class FailsOnce:
    """Raises at the first call."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._failed = False

    def __call__(self) -> int:
        if not self._failed:
            self._failed = True
            raise RuntimeError("the server went away")
        return self._readings()
