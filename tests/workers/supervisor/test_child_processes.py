import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from runtime.time_limits import POOL_STARTS_APART_SECONDS, STUCK_GRACE_SECONDS
from tests.workers.fakes import ManualClock
from tests.workers.waiting import until
from workers.supervisor.child_processes import PoolProcess

SLEEPER = "import time; time.sleep(60)"
DEAF = (
    "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
)


def pool(code: str, *arguments: str, clock: Callable[[], float] = time.monotonic) -> PoolProcess:
    return PoolProcess((sys.executable, "-c", code, *arguments), os.environ, clock)


def test_a_pool_that_cannot_start_is_tried_again_but_not_at_once() -> None:
    clock = ManualClock()
    child = pool("raise SystemExit(1)", clock=clock)
    child.keep_alive()
    first = child.pid

    until(lambda: child.pid is None, meanwhile=child.keep_alive)
    clock.now += POOL_STARTS_APART_SECONDS
    child.keep_alive()

    assert child.pid not in (None, first)
    child.stop(10)


def test_a_pool_that_worked_and_died_is_replaced_without_a_pause() -> None:
    clock = ManualClock()
    child = pool(SLEEPER, clock=clock)
    child.keep_alive()
    first = child.pid
    assert first is not None
    clock.now += POOL_STARTS_APART_SECONDS

    os.kill(first, signal.SIGKILL)
    until(lambda: child.pid not in (None, first), meanwhile=child.keep_alive)

    child.stop(10)


def test_a_stop_is_one_sigterm_and_the_pool_s_own_end() -> None:
    child = pool(SLEEPER)
    child.keep_alive()

    assert child.stop(10)
    assert child.pid is None


def test_a_pool_that_will_not_end_is_killed_when_the_grace_is_over(tmp_path: Path) -> None:
    child = pool(DEAF, str(tmp_path / "ready"))
    child.keep_alive()
    until((tmp_path / "ready").exists)

    assert not child.stop(0.1)


def test_stopping_before_anything_ran_is_no_trouble() -> None:
    assert pool(SLEEPER).stop(1)


def test_a_stuck_pool_is_asked_to_end_and_then_made_to(tmp_path: Path) -> None:
    clock = ManualClock()
    child = pool(DEAF, str(tmp_path / "ready"), clock=clock)
    child.keep_alive()
    stuck = child.pid
    until((tmp_path / "ready").exists)

    child.restart()
    child.keep_alive()
    while_asked = child.pid
    clock.now += STUCK_GRACE_SECONDS
    until(lambda: child.pid != stuck, meanwhile=child.keep_alive)

    assert while_asked == stuck
    assert child.pid not in (None, stuck)
    child.stop(0.1)


def test_a_signal_to_our_group_does_not_reach_the_pool() -> None:
    child = pool(SLEEPER)
    child.keep_alive()

    assert child.pid is not None
    assert os.getpgid(child.pid) != os.getpgid(0)
    child.stop(10)
