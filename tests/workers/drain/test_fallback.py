import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.up.servers.redis_server import Redis
from runtime.history.reader import read_history
from runtime.history.spans import HOUR
from runtime.time_limits import OVERDUE_SECONDS
from tests.workers.fakes import ManualClock
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerSite, customers, running
from workers.supervisor.child_processes import FallbackProcess

SLEEPING = (sys.executable, "-c", "import time; time.sleep(60)")
DEAF = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").close()
time.sleep(60)
"""


def fallback(*command: str, clock: ManualClock | None = None) -> FallbackProcess:
    return FallbackProcess(command, {}, clock or ManualClock())


def test_at_most_one_runs_and_none_once_it_has_ended() -> None:
    process = fallback(sys.executable, "-c", "")

    process.start()
    first = process.pid
    process.start()

    assert process.pid == first
    until(lambda: process.pid is None, meanwhile=process.check, why="its end is noticed")
    process.start()
    assert process.pid not in {first, None}
    process.stop(10)


def test_one_that_hangs_is_killed_and_only_then() -> None:
    clock = ManualClock()
    process = fallback(*SLEEPING, clock=clock)
    process.start()

    clock.now = OVERDUE_SECONDS - 1
    process.check()
    assert process.pid is not None
    clock.now = OVERDUE_SECONDS
    process.check()

    assert process.pid is None


@pytest.mark.parametrize("manner", ["obeys", "ignores"])
def test_a_stop_ends_it_even_if_it_ignores_signals(tmp_path: Path, manner: str) -> None:
    ready = tmp_path / "ready"
    process = fallback(
        *(SLEEPING if manner == "obeys" else (sys.executable, "-c", DEAF, str(ready)))
    )
    process.start()
    if manner == "ignores":
        until(ready.exists, why="it ignores signals")

    process.ask_to_stop()
    process.stop(0.5 if manner == "ignores" else 20)

    assert process.pid is None


def test_a_stop_without_a_process_does_nothing() -> None:
    process = fallback(*SLEEPING)

    process.check()
    process.ask_to_stop()
    process.stop(0)

    assert process.pid is None


@pytest.fixture
def site(database: str, redis_url: str, tmp_path: Path) -> Iterator[WorkerSite]:
    site = WorkerSite(database, redis_url, tmp_path / "worker.log")
    site.install_plans()
    yield site
    site.close()


def settled_by_history(site: WorkerSite) -> int:
    intervals = read_history(site.redis, HOUR).intervals
    return sum(each.workers.settled for each in intervals if each.workers)


@pytest.mark.servers
def test_events_are_applied_though_the_broker_is_gone_for_good(
    site: WorkerSite, own_redis: Redis
) -> None:
    ids = site.accept(customers(range(250)))
    site.environ["CELERY_BROKER_URL"] = own_redis.url
    own_redis.kill()

    with running(site) as worker:
        site.until_drained(40)
        site.assert_each_applied_once(ids)
        until(lambda: settled_by_history(site) == len(ids), why="the process reports at its end")
        worker.process.send_signal(signal.SIGTERM)
