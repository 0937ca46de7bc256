"""Processes of every kind die, are stopped and multiply while events come in."""

import os
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.faults.fault_env import FaultSite, revived, trickle, workers
from tests.killing import kill
from tests.workers.waiting import until
from tests.workers.worker_process import Worker

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def test_t03_random_pool_children_are_killed_twenty_times(
    site: FaultSite, chance: random.Random
) -> None:
    with workers(site, "short_lease", "slow") as worker:
        worker.until_ready()
        with trickle(site, rate=100, names=int) as sent:
            for death in range(20):
                until(lambda death=death: len(sent) > death * 40, seconds=60)  # type: ignore[misc]
                until(lambda: kill(chance.choice(worker.children or [0])))
        site.judge()


def test_t03_what_a_dead_child_held_is_taken_over_at_once_and_not_when_its_lease_is_over(
    site: FaultSite,
) -> None:
    with workers(site, "long_lease", "very_slow") as worker:
        worker.until_ready()
        site.take(["held"])
        until(lambda: site.inbox.backlog().claimed == 1, why="it is in a child's hands")
        for child in worker.children:
            kill(child)
        until(lambda: site.inbox.backlog().counters.get("crashed") == 1, why="it is known")
        site.judge()


def test_t04_whole_worker_trees_are_killed_and_started_again(
    site: FaultSite, chance: random.Random
) -> None:
    with ExitStack() as running, trickle(site, rate=100, names=int):
        for _ in range(8):
            worker = running.enter_context(workers(site, "short_lease"))
            settled = site.settled_count()
            until(lambda least=settled: site.settled_count() > least, seconds=40)  # type: ignore[misc]
            for pid in chance.sample(tree := worker.tree(), len(tree)):
                kill(pid)
            worker.process.wait()
    with workers(site):
        site.judge()


@pytest.mark.parametrize(
    "how", ["once", "twice", "the whole group", "the pool and its children", "then kill"]
)
def test_t08_a_worker_is_stopped_under_load(site: FaultSite, how: str) -> None:
    with trickle(site, rate=150, names=int):
        for _ in range(3):
            with workers(site, "short_lease") as worker:
                settled = site.settled_count()
                until(lambda least=settled: site.settled_count() > least + 50, seconds=40)  # type: ignore[misc]
                code = _stop(worker, how)
                assert how == "then kill" or code == 0
    assert how not in {"once", "twice"} or site.inbox.backlog().claimed == 0
    with workers(site):
        site.judge()


def _stop(worker: Worker, how: str) -> int:
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
    """What is ignored here would be ignored by every process that is started from here."""
    kept = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, kept)


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_t08_an_event_in_hand_is_applied_and_not_charged_when_the_whole_group_is_stopped(
    site: FaultSite, number: signal.Signals
) -> None:
    """A claim of one that ends without a word is a crash: three restarts would bury it."""
    with workers(site, "short_lease", "very_slow") as worker:
        worker.until_ready()
        site.take(["alone"])
        until(lambda: site.inbox.backlog().claimed == 1, why="it is in a worker's hands")
        for pid in worker.tree():
            kill(pid, number)
        worker.process.wait(60)
        until(lambda: site.inbox.backlog().events == 0, why="its batch was finished")
    site.judge()

    counters = site.inbox.backlog().counters
    assert (counters.get("reclaimed", 0), counters["claimed"]) == (0, 1)


def test_t09_workers_scale_from_one_to_four_to_one_under_load(site: FaultSite) -> None:
    with trickle(site, rate=150, names=int), ExitStack() as all_of_them:
        team = [all_of_them.enter_context(_small_worker(site))]
        _until_announced(site, 1)
        team += [all_of_them.enter_context(_small_worker(site)) for _ in range(3)]
        _until_announced(site, 4)
        _until_more(site, 300)
        for leaver in team[:3]:
            assert leaver.stop() == 0
        _until_announced(site, 1)
        _until_more(site, 100)
        assert site.inbox.backlog().processes == 1
    with workers(site):
        site.judge()


@contextmanager
def _small_worker(site: FaultSite) -> Iterator[Worker]:
    with workers(site, "short_lease", PAIDUP_WORKER_PROCESSES="1") as worker:
        yield worker


def _until_announced(site: FaultSite, processes: int) -> None:
    until(lambda: site.inbox.backlog().processes == processes, seconds=40, why=f"{processes} work")


def _until_more(site: FaultSite, events: int) -> None:
    least = site.settled_count() + events
    until(lambda: site.settled_count() >= least, seconds=40, why=f"{events} more are settled")


def test_t28_the_sweeping_supervisor_dies_or_freezes_and_another_one_takes_over(
    site: FaultSite,
) -> None:
    with workers(site, "short_lease") as first:
        first.until_ready()
        with workers(site, "short_lease"):
            _until_announced(site, 4)
            for number in (signal.SIGSTOP, signal.SIGKILL):
                first.process.send_signal(number)
                site.take_quietly([f"{number.name}-{n}" for n in range(30)])
                until(lambda: site.inbox.backlog().events == 0, seconds=20, why=number.name)
            site.judge()


def test_t28_supervisors_that_all_sweep_do_no_harm(site: FaultSite) -> None:
    faults = ("no_sweeper_lock", "slow")
    with workers(site, *faults), workers(site, *faults):
        _until_announced(site, 4)
        site.take_quietly(f"waiting-{number}" for number in range(200))
        with trickle(site, rate=100, names=int):
            _until_more(site, 500)
        site.judge()

    assert site.inbox.backlog().counters.get("reclaimed", 0) == 0, "a claim that lived was ended"


def test_t28_after_every_supervisor_died_the_next_one_finds_what_waited(site: FaultSite) -> None:
    with workers(site) as worker:
        worker.until_ready()
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        site.take_quietly(range(50))
        next_one = revived(worker, site)
        try:
            site.judge()
        finally:
            next_one.kill()
