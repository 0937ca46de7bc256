"""Events that harm their worker, and batches that are killed for another reason."""

import time
from itertools import chain

import pytest

from ops.up.servers.postgres_server import Postgres
from tests.faults.fault_env import FaultSite, workers
from tests.faults.purchases import event_id
from tests.workers.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

MAX_CRASHES = 3


@pytest.mark.parametrize("harm", ["exit", "segv", "kill", "hang"])
def test_t22_poison_is_a_dead_letter_after_three_crashes_alone_and_its_batch_lives(
    site: FaultSite, harm: str
) -> None:
    site.take_quietly(chain(range(20), ["poison"], range(20, 40)))
    time_limits = ["short_time_limit"] if harm == "hang" else []
    with workers(site, f"poison_{harm}", *time_limits):
        until(lambda: bool(site.dead()), why="the poison is a dead letter")
        site.check_result(dead=[event_id("poison")])

    (letter,) = site.dead()
    assert (letter.error_type, letter.state) == ("crash_loop", "open")
    assert f"{MAX_CRASHES} times while claimed alone" in letter.error
    assert site.inbox.backlog().counters["crashed"] == MAX_CRASHES


def test_t22_an_event_that_exhausts_memory_is_a_dead_letter_and_its_batch_lives(
    site: FaultSite,
) -> None:
    site.take_quietly(chain(range(20), ["poison"], range(20, 40)))
    with workers(site, "poison_memory"):
        until(lambda: bool(site.dead()), seconds=240, why="the poison is a dead letter")
        site.check_result(dead=[event_id("poison")])

    (letter,) = site.dead()
    assert letter.error_type == "MemoryError"
    assert letter.attempts > 1


def test_t22_others_go_on_while_poison_is_tried(site: FaultSite) -> None:
    with workers(site, "poison_exit") as worker:
        worker.until_ready()
        site.take([f"poison-{n}" for n in range(3)])
        slowest = 0.0
        for number in range(60):
            started = time.monotonic()
            ids = site.take([number])
            until(lambda ids=ids: site.is_settled(ids), seconds=20)  # type: ignore[misc]
            slowest = max(slowest, time.monotonic() - started)
        until(lambda: len(site.dead()) == 3, seconds=100, why="all poison is in the dead letters")
        site.check_result(dead=[event_id(f"poison-{n}") for n in range(3)])

    assert slowest < 6


def test_t22_no_innocent_event_dies_though_batches_are_killed_at_random(
    site: FaultSite, seed: int
) -> None:
    with workers(site, "die_at_random", FAULT_SEED=str(seed)):
        taken = 0
        # Two of a hundred seeds kill only one batch of the first six.
        while taken < 300 or site.fuse("random", 15) < 2:
            site.take_quietly(range(taken, taken + 50))
            site.until_drained()
            taken += 50
        site.check_result()


def test_t23_a_dead_letter_waits_in_redis_while_postgresql_is_unreachable(
    site_with_own_postgres: FaultSite, own_postgres: Postgres
) -> None:
    site = site_with_own_postgres
    with workers(site) as worker:
        worker.until_ready()
        site.engine.dispose()
        own_postgres.stop()
        site.take_quietly(["poison", *range(10)])
        site.redis.hset("paidup:event:body", event_id("poison"), b"\xff")
        until(site.inbox.breaker_open, why="the breaker opened")
        (waiting,) = site.inbox.peek([event_id("poison")])
        own_postgres.start()
        site.check_result(dead=[event_id("poison")])

    assert waiting.state in {"waiting", "claimed"}
    (letter,) = site.dead()
    assert letter.error_type == "MalformedEvent"


def test_t23_a_worker_dies_before_and_after_it_wrote_a_dead_letter(site: FaultSite) -> None:
    site.take_quietly(["poison", *range(10)])
    site.redis.hset("paidup:event:body", event_id("poison"), b"\xff")
    with workers(site, "die_before_dead_letter", "die_before_discard"):
        site.check_result(dead=[event_id("poison")])

    assert (site.fuse("before_dead_letter"), site.fuse("before_discard")) == (1, 1)
    assert len(site.dead()) == 1
