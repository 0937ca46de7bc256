"""Processes of every kind die, are stopped and are added while events arrive."""

import os
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.faults.fault_env import (
    FaultSite,
    check_after_random_kills,
    revived,
    trickle,
    workers,
)
from tests.killing import kill
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerProcess

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def test_t03_random_pool_children_are_killed_twenty_times(
    site: FaultSite, chance: random.Random
) -> None:
    with workers(site, "slow") as worker:
        worker.until_ready()
        with trickle(site, rate=100, names=int) as sent:
            for death in range(20):
                until(lambda death=death: len(sent) > death * 40, seconds=60)  # type: ignore[misc]
                until(lambda: kill(chance.choice(worker.children or [0])))
        check_after_random_kills(site)


def test_t03_the_claim_of_a_dead_child_is_released_at_once_and_not_when_its_lease_ends(
    site: FaultSite,
) -> None:
    with workers(site, "long_lease", "very_slow") as worker:
        worker.until_ready()
        site.take(["held"])
        until(lambda: site.inbox.backlog().claimed == 1, why="a child has claimed it")
        for child in worker.children:
            kill(child)
        until(lambda: site.inbox.backlog().counters.get("crashed") == 1, why="the crash is noticed")
        site.check_result()


def test_t03_an_innocent_event_that_three_kills_met_alone_is_applied_by_a_replay(
    site: FaultSite,
) -> None:
    with workers(site, "very_slow") as worker:
        worker.until_ready()
        site.take(["alone"])
        for crashes in range(1, 4):
            until(lambda: site.inbox.backlog().claimed == 1, why="a child has claimed it")
            for child in worker.children:
                kill(child)
            until(
                lambda least=crashes: site.inbox.backlog().counters.get("crashed", 0) >= least,  # type: ignore[misc]
                why="the crash is noticed",
            )
        until(lambda: len(site.dead()) == 1, why="it is a dead letter")
        check_after_random_kills(site)


def test_t04_whole_worker_trees_are_killed_and_started_again(
    site: FaultSite, chance: random.Random
) -> None:
    with ExitStack() as running, trickle(site, rate=100, names=int):
        for _ in range(8):
            worker = running.enter_context(workers(site))
            settled = site.settled_count()
            until(lambda least=settled: site.settled_count() > least, seconds=40)  # type: ignore[misc]
            for pid in chance.sample(tree := worker.tree(), len(tree)):
                kill(pid)
            worker.process.wait()
    with workers(site):
        check_after_random_kills(site)


@pytest.mark.parametrize(
    "how", ["once", "twice", "the whole group", "the pool and its children", "then kill"]
)
def test_t08_a_worker_is_stopped_under_load(site: FaultSite, how: str) -> None:
    with trickle(site, rate=150, names=int):
        for _ in range(3):
            with workers(site) as worker:
                settled = site.settled_count()
                until(lambda least=settled: site.settled_count() > least + 50, seconds=40)  # type: ignore[misc]
                code = _stop(worker, how)
                assert how == "then kill" or code == 0
    assert how not in {"once", "twice"} or site.inbox.backlog().claimed == 0
    with workers(site):
        site.check_result()


def _stop(worker: WorkerProcess, how: str) -> int:
    tree = worker.tree()
    signals = {
        "once": tree[:1],
        "twice": tree[:1] * 2,
        "the whole group": tree,
        "the pool and its children": [*tree[1:], tree[0]],
        "then kill": tree[:1],
    }
    for pid in signals[how]:
        kill(pid, signal.SIGTERM)
    if how == "then kill":
        worker.kill()
    return worker.process.wait(60)


@pytest.fixture
def not_under_nohup() -> Iterator[None]:
    """Let SIGHUP act; started processes inherit a signal that is ignored here."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, previous)


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_t08_a_claimed_event_is_applied_without_a_crash_when_the_whole_group_is_stopped(
    site: FaultSite, number: signal.Signals
) -> None:
    """A claim whose owner dies counts as a crash: three restarts would make a dead letter."""
    with workers(site, "very_slow") as worker:
        worker.until_ready()
        site.take(["alone"])
        until(lambda: site.inbox.backlog().claimed == 1, why="a worker has claimed it")
        for pid in worker.tree():
            kill(pid, number)
        worker.process.wait(60)
        until(lambda: site.inbox.backlog().events == 0, why="its batch was finished")
    site.check_result()

    counters = site.inbox.backlog().counters
    assert (counters.get("reclaimed", 0), counters["claimed"]) == (0, 1)


def test_t09_workers_scale_from_one_to_four_to_one_under_load(site: FaultSite) -> None:
    with trickle(site, rate=150, names=int), ExitStack() as stack:
        started = [stack.enter_context(_small_worker(site))]
        _until_announced(site, 1)
        started += [stack.enter_context(_small_worker(site)) for _ in range(3)]
        _until_announced(site, 4)
        _until_more(site, 300)
        for leaving in started[:3]:
            assert leaving.stop() == 0
        _until_announced(site, 1)
        _until_more(site, 100)
        assert site.inbox.backlog().processes == 1
    with workers(site):
        site.check_result()


@contextmanager
def _small_worker(site: FaultSite) -> Iterator[WorkerProcess]:
    with workers(site, PAIDUP_WORKER_PROCESSES="1") as worker:
        yield worker


def _until_announced(site: FaultSite, processes: int) -> None:
    until(lambda: site.inbox.backlog().processes == processes, seconds=40, why=f"{processes} work")


def _until_more(site: FaultSite, events: int) -> None:
    least = site.settled_count() + events
    until(lambda: site.settled_count() >= least, seconds=40, why=f"{events} more are settled")


def test_t28_the_sweeping_supervisor_dies_or_freezes_and_another_one_takes_over(
    site: FaultSite,
) -> None:
    with workers(site) as first:
        first.until_ready()
        with workers(site):
            _until_announced(site, 4)
            for number in (signal.SIGSTOP, signal.SIGKILL):
                first.process.send_signal(number)
                site.take_quietly([f"{number.name}-{n}" for n in range(30)])
                until(lambda: site.inbox.backlog().events == 0, seconds=60, why=number.name)
            site.check_result()


def test_t28_supervisors_that_all_sweep_do_no_harm(site: FaultSite) -> None:
    faults = ("no_sweeper_lease", "slow")
    with workers(site, *faults), workers(site, *faults):
        _until_announced(site, 4)
        site.take_quietly(f"waiting-{number}" for number in range(200))
        with trickle(site, rate=100, names=int):
            _until_more(site, 500)
        site.check_result()

    assert site.inbox.backlog().counters.get("reclaimed", 0) == 0, (
        "the claim of a live worker was ended"
    )


def test_t28_after_every_supervisor_died_the_next_one_wakes_for_waiting_events(
    site: FaultSite,
) -> None:
    with workers(site) as worker:
        worker.until_ready()
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        site.take_quietly(range(50))
        next_one = revived(worker, site)
        try:
            site.check_result()
        finally:
            next_one.kill()
