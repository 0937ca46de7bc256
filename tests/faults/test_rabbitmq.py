"""RabbitMQ carries the wake-ups, and is killed, frozen, blocked or gone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from runtime.broker import FETCH_QUEUE, QUEUE
from runtime.rabbitmq_broker import queue_name
from runtime.redis_broker import KEY_PREFIX
from tests.faults.fault_env import FaultSite, Stripe, ingesting, workers
from tests.rabbitmq import RabbitMq, rabbitmq
from tests.workers.waiting import until
from tests.workers.worker_process import REPOSITORY

pytestmark = pytest.mark.servers

FULL_TURNS = 20 if os.environ.get("PAIDUP_TEST_FULL") == "1" else 0
AT_LEAST = 60
"""Events that are settled in a state of the server before it changes."""


@pytest.fixture(scope="module")
def server(servers_folder: Path) -> Iterator[RabbitMq]:
    with rabbitmq(servers_folder / "rabbitmq-faults") as server:
        yield server


@pytest.fixture
def rabbit_site(site: FaultSite, server: RabbitMq) -> FaultSite:
    if not server.is_alive():
        server.start()
    site.environ["CELERY_BROKER_URL"] = server.url
    return site


def until_more_settled(site: FaultSite, why: str) -> None:
    least = site.settled_count() + AT_LEAST
    until(lambda: site.settled_count() >= least, seconds=60, why=why)


def test_events_are_applied_by_wake_ups_of_rabbitmq_alone_and_celerys_tools_see_the_pool(
    rabbit_site: FaultSite, server: RabbitMq
) -> None:
    site = rabbit_site
    with workers(site) as worker, ingesting(site) as ingest:
        worker.until_ready()
        for number in range(30):
            ingest.deliver(number)
        site.check_result()
        assert site.redis.keys(f"{KEY_PREFIX}*") == []
        assert "a fallback process drains" not in site.log.read_text()
        until(lambda: bool(pools_that_answer(server)), why="an answer of a worker")
        (name,) = pools_that_answer(server)
        assert name.startswith("paidup-worker-")
    ours = {queue_name(QUEUE), queue_name(FETCH_QUEUE)}
    until(lambda: set(server.queue_lengths()) <= ours, why="the queues of the tools are gone")


def pools_that_answer(server: RabbitMq) -> list[str]:
    """Ask with Celery's own command, in the folder of the configuration that we ship."""
    done = subprocess.run(
        [Path(sys.executable).parent / "celery", "inspect", "ping", "--json"],
        cwd=REPOSITORY / "deploy" / "flower",
        env={"PATH": os.environ["PATH"], "CELERY_BROKER_URL": server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    return list(json.loads(done.stdout)) if done.returncode == 0 else []


def kill(server: RabbitMq) -> Callable[[], None]:
    server.kill()
    return server.start


def freeze(server: RabbitMq) -> Callable[[], None]:
    server.freeze()
    return server.thaw


def block(server: RabbitMq) -> Callable[[], None]:
    server.block()
    return server.unblock


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "turns"), [(kill, 2), (freeze, 1), (block, 1)])
def test_rabbitmq_fails_again_and_again_under_load_and_no_event_is_lost_or_doubled(
    rabbit_site: FaultSite,
    server: RabbitMq,
    fault: Callable[[RabbitMq], Callable[[], None]],
    turns: int,
) -> None:
    site = rabbit_site
    with workers(site) as worker, ingesting(site) as ingest:
        worker.until_ready()
        stripe = Stripe(ingest, count(), rate=100)
        stripe.start()
        for _ in range(FULL_TURNS or turns):
            until_more_settled(site, "wake-ups arrive")
            repair = fault(server)
            until_more_settled(site, "a fallback process drains")
            repair()
        stripe.ended.set()
        stripe.join()
        site.check_result()
        assert worker.process.poll() is None, "the supervisor outlives its broker"


@pytest.mark.slow
def test_a_worker_starts_and_stops_though_rabbitmq_is_frozen(
    rabbit_site: FaultSite, server: RabbitMq
) -> None:
    site = rabbit_site
    server.freeze()
    with workers(site) as worker:
        site.take(range(20))
        site.check_result()
        server.thaw()
        worker.until_ready()
        server.freeze()
        assert worker.stop() == 0
    server.thaw()
