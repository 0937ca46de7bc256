"""Wake-ups are lost, refused or delayed; nothing waits in a worker's memory."""

import ast
import time
from collections.abc import Iterator

import pytest

from ops.up.servers.redis_server import Redis
from runtime.broker import QUEUE, make_celery
from runtime.redis_broker import KEY_PREFIX
from runtime.settings import Settings
from tests.answer_times import answered_within
from tests.faults.fault_env import FaultSite, ingesting, trickle, workers
from tests.workers.waiting import until
from tests.workers.worker_process import REPOSITORY

SEVERAL_SWEEPS = 2.5
"""Long enough for the sweeper to fail as well."""

WAKES = f"{KEY_PREFIX}{QUEUE}"
BANNED_ARGUMENTS = {"countdown", "eta", "expires", "autoretry_for", "retry_backoff", "max_retries"}
BANNED_CALLS = {"retry", "apply_async", "delay"}


@pytest.mark.servers
def test_a_wake_up_that_is_lost_costs_seconds_and_no_event(site: FaultSite) -> None:
    with workers(site) as worker:
        worker.until_ready()
        site.take_quietly(["without_wake_up"])
        until(lambda: site.settled_count() == 1, seconds=5, why="the sweeper woke a worker")
        site.inbox.open_breaker("so that wake-ups wait", 0.5)
        site.take(range(10))
        site.redis.delete(WAKES)
        until(lambda: site.settled_count() == 11, seconds=10, why="the sweeper woke a worker")
        site.check_result()


@pytest.mark.servers
@pytest.mark.parametrize("fault", ["frozen", pytest.param("gone", marks=pytest.mark.slow)])
def test_a_wake_up_that_cannot_be_published_delays_the_answer_little_and_loses_nothing(
    site: FaultSite, own_redis: Redis, fault: str
) -> None:
    site.environ["CELERY_BROKER_URL"] = own_redis.url
    with workers(site) as worker, ingesting(site) as ingest:
        worker.until_ready()
        ingest.deliver("before")
        site.until_drained()
        own_redis.freeze() if fault == "frozen" else own_redis.kill()
        answers = [ingest.deliver(number) for number in range(20)]
        time.sleep(SEVERAL_SWEEPS)
        own_redis.thaw() if fault == "frozen" else own_redis.start()
        site.check_result(seconds=35)

    assert {answer.status for answer in answers} == {202}
    assert answered_within([answer.seconds for answer in answers], 1.0)


@pytest.mark.servers
@pytest.mark.slow
def test_t26_dispatch_is_stopped_and_resumed_twenty_times_under_load(site: FaultSite) -> None:
    counted = []
    with workers(site) as worker:
        worker.until_ready()
        with trickle(site, rate=200, names=int):
            for _ in range(20):
                site.inbox.open_breaker("an operator's pause", 30)
                before = site.inbox.backlog().counters.get("claimed", 0)
                time.sleep(0.05)
                after = site.inbox.backlog()
                if after.breaker is not None:  # no supervisor has closed it yet
                    counted.append(after.counters.get("claimed", 0) - before)
                site.inbox.close_breaker()
                least = site.settled_count() + 5
                until(lambda least=least: site.settled_count() >= least, why="it goes on")  # type: ignore[misc]
        site.check_result()

    assert set(counted) == {0}


@pytest.mark.servers
@pytest.mark.slow
def test_t26_nothing_runs_while_workers_leave_the_queue_and_all_runs_when_they_join_again(
    site: FaultSite,
) -> None:
    control = make_celery(Settings.from_env(site.environ), role="publisher").control
    with workers(site) as worker:
        worker.until_ready()
        for turn in range(5):
            until(
                lambda: bool(control.cancel_consumer(QUEUE, reply=True, timeout=2)), why="it left"
            )
            before = site.settled_count()
            site.take(f"{turn}-{number}" for number in range(20))
            time.sleep(0.5)
            assert site.settled_count() == before
            control.add_consumer(QUEUE)
            until(lambda least=before + 20: site.settled_count() == least, why="it goes on")  # type: ignore[misc]
        site.check_result()


def test_t27_nothing_in_the_code_waits_or_retries_in_a_workers_memory() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{call.lineno}"
        for package in ("runtime", "workers", "ingest", "ops")
        for path in sorted((REPOSITORY / package).rglob("*.py"))
        for call in _delaying(ast.parse(path.read_text()))
    ]

    assert found == []


@pytest.mark.servers
@pytest.mark.slow
def test_t27_a_burst_costs_few_wake_ups_and_workers_hold_no_more_than_they_run(
    site: FaultSite,
) -> None:
    held, waiting = [], []
    with workers(site) as worker:
        worker.until_ready()
        site.take(range(1500))
        while site.inbox.backlog().events:
            held.append(site.redis.hlen(f"{KEY_PREFIX}unacked"))
            waiting.append(site.redis.llen(WAKES))
            time.sleep(0.01)
        site.check_result()

    assert max(held) <= 2 * 2  # one running and one prefetched for each of two processes
    assert max(waiting) <= 8


def _delaying(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        named = {keyword.arg for keyword in node.keywords}
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        sends = called in {"send_task", "apply_async", "task", "signature"}
        if called in BANNED_CALLS or (sends and named & BANNED_ARGUMENTS):
            yield node
