"""The supervisor that leads does a work in steps, until nothing is left."""

import pytest
import structlog

from tests.workers.fakes import ManualClock
from workers.supervisor.work_in_steps import DoNext, WorkInSteps

LOOK_SECONDS = 60.0


class Steps:
    """Returns these counts one after the other, then 0; None is a step that has to wait."""

    def __init__(self, *counts: int | None) -> None:
        self.counts = list(counts)
        self.calls = 0

    def __call__(self) -> int | None:
        self.calls += 1
        return self.counts.pop(0) if self.counts else 0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def job(
    steps: DoNext, clock: ManualClock, *, leads: bool = True, stopping: bool = False
) -> WorkInSteps:
    return WorkInSteps(
        steps,
        lambda: leads,
        clock,
        lambda: stopping,
        look_seconds=LOOK_SECONDS,
        began="began",
        ended="ended",
    )


def logged_in_two_runs(work: WorkInSteps, clock: ManualClock) -> list[tuple[str, int | None]]:
    """Return what the log says in a run and in the next one that is due, with what was done."""
    with structlog.testing.capture_logs() as lines:
        work.run_if_due()
        clock.now += LOOK_SECONDS
        work.run_if_due()
    return [(line["event"], line.get("done")) for line in lines]


def test_it_goes_on_until_nothing_is_left_and_looks_again_later(clock: ManualClock) -> None:
    steps = Steps(50, 50, 7)
    work = job(steps, clock)

    work.run_if_due()
    work.run_if_due()

    assert steps.calls == 4
    clock.now += LOOK_SECONDS
    work.run_if_due()
    assert steps.calls == 5


def test_the_log_says_once_that_it_began_and_how_much_it_did(clock: ManualClock) -> None:
    logged = logged_in_two_runs(job(Steps(50, 50, 7), clock), clock)

    assert logged == [("began", None), ("ended", 107)]


def test_work_that_has_to_wait_looks_again_later_and_has_not_ended(clock: ManualClock) -> None:
    logged = logged_in_two_runs(job(Steps(50, None, 7), clock), clock)

    assert logged == [("began", None), ("ended", 57)]


def test_only_the_supervisor_that_leads_works(clock: ManualClock) -> None:
    steps = Steps(50)

    job(steps, clock, leads=False).run_if_due()

    assert steps.calls == 0


def test_a_stop_ends_it_between_two_steps(clock: ManualClock) -> None:
    steps = Steps(50)

    job(steps, clock, stopping=True).run_if_due()

    assert steps.calls == 0


def test_an_error_ends_one_run_and_the_next_one_goes_on(clock: ManualClock) -> None:
    steps = Steps(50)
    work = job(FailsOnce(steps), clock)

    with pytest.raises(RuntimeError):
        work.run_if_due()
    work.run_if_due()

    assert steps.calls == 2


class FailsOnce:
    """Raises at the first call."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._failed = False

    def __call__(self) -> int | None:
        if not self._failed:
            self._failed = True
            raise RuntimeError("the server went away")
        return self._steps()
