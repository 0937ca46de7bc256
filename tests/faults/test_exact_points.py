"""A process dies or freezes at one exact point between two steps."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.fault_env import FaultSite, ingesting, workers
from tests.faults.purchases import event_id, purchases
from tests.killing import kill
from tests.workers.waiting import until
from tests.workers.worker_process import WorkerProcess

pytestmark = pytest.mark.servers


@pytest.mark.parametrize(
    ("fault", "fuse", "known"),
    [
        ("die_before_accept", "before_accept", False),
        pytest.param("die_after_accept", "after_accept", True, marks=pytest.mark.slow),
        pytest.param("die_after_publish", "after_publish", True, marks=pytest.mark.slow),
    ],
)
def test_t01_ingest_dies_between_two_steps_of_an_answer(
    site: FaultSite, fault: str, fuse: str, *, known: bool
) -> None:
    with workers(site), ingesting(site, fault) as ingest:
        first = ingest.deliver("first")
        until(lambda: len(ingest.server_processes) == 1 and ingest.ready, why="it is back")
        # Stripe resends only refused events. A client whose connection breaks sends once more by
        # itself, perhaps to the next process.
        again = first if first.taken else ingest.deliver("first")
        later = ingest.deliver("later")

        assert site.fuse(fuse) == 1
        assert first.taken or (again.status == 200) == known
        assert later.status == 202
        site.check_result()


def test_t05_the_broker_handed_a_wake_up_to_a_worker_that_died_with_it(site: FaultSite) -> None:
    with workers(site, "die_in_the_pop_window"):
        site.take(range(30))

        site.check_result(seconds=35)

    assert site.fuse("pop", 2) >= 1


@pytest.mark.parametrize(
    ("fault", "fuse", "times"),
    [
        ("die_after_commit", "after_commit", 2),
        pytest.param("die_before_commit", "before_commit", 3, marks=pytest.mark.slow),
        pytest.param("lose_the_answer_to_commit", "lost_answer", 2, marks=pytest.mark.slow),
    ],
)
def test_t06_t07_a_worker_dies_on_one_side_of_its_commit(
    site: FaultSite, fault: str, fuse: str, times: int
) -> None:
    with workers(site, fault) as worker:
        worker.until_ready()
        site.take(range(40))

        site.check_result()

    assert site.fuse(fuse, times) == times
    again = [site.inbox.accept(envelope) for envelope in purchases(range(40))]
    assert {accepted.status for accepted in again} == {"duplicate"}
    assert all(accepted.result for accepted in again)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["freeze_before_record", "freeze_before_commit", "freeze_after_commit"]
)
def test_t21_a_zombie_wakes_up_when_another_worker_has_its_claim(
    site: FaultSite, fault: str
) -> None:
    with workers(site, fault) as worker:
        worker.until_ready()
        ids = site.take(["held"])
        until((site.folder / "frozen").exists, why="a child froze")
        until(lambda: site.is_settled(ids), why="another worker applied them")
        finished = _finished(site, least=len(ids))

        with _thawed(site, worker):
            site.take(["afterwards"])
            until(lambda: site.is_settled([event_id("afterwards")]), why="work goes on")

        site.check_result()
        assert _finished(site, least=finished + 1) == finished + 1


def _finished(site: FaultSite, *, least: int) -> int:
    """Return how many events were finished, once there are ``least``."""

    def so_far() -> int:
        return site.inbox.backlog().counters.get("finished", 0)

    until(lambda: so_far() >= least, why="finished")
    return so_far()


@contextmanager
def _thawed(site: FaultSite, worker: WorkerProcess) -> Iterator[None]:
    """Thaw the zombie; at the end wait until it has done all it can."""
    zombie = int((site.folder / "frozen").read_text())
    os.kill(zombie, signal.SIGCONT)
    yield
    worker.stop()
    kill(zombie)
