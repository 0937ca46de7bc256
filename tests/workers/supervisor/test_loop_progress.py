import pytest

from runtime.time_limits import LOOP_STILL_SECONDS
from workers.supervisor.loop_progress import LoopProgress


class Hours:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hours:
    return Hours()


def test_loops_that_move_give_no_reason(clock: Hours) -> None:
    progress = LoopProgress(clock, "pools", "jobs")

    for _ in range(5):
        clock.now += LOOP_STILL_SECONDS
        assert progress.reason_to_restart() is None
        progress.move("pools")
        progress.move("jobs")


def test_the_loop_that_is_still_is_named_and_no_other(clock: Hours) -> None:
    progress = LoopProgress(clock, "pools", "jobs")
    clock.now += LOOP_STILL_SECONDS + 1
    progress.move("jobs")

    assert progress.reason_to_restart() == "the loop of the pools has not moved for 61 s"


def test_a_loop_that_moves_again_gives_no_reason_any_more(clock: Hours) -> None:
    progress = LoopProgress(clock, "pools")
    clock.now += LOOP_STILL_SECONDS + 1
    stuck = progress.reason_to_restart()

    progress.move("pools")

    assert (stuck is None, progress.reason_to_restart()) == (False, None)


def test_a_worker_that_stops_is_given_its_own_time(clock: Hours) -> None:
    progress = LoopProgress(clock, "pools")
    progress.end()
    clock.now += 10 * LOOP_STILL_SECONDS

    assert progress.reason_to_restart() is None
