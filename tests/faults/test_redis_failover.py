"""The primary of Redis changes while events arrive: nothing is lost, doubled or left standing."""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from ops.up.servers.redis_server import Redis
from runtime.redis_client import make_redis
from runtime.settings import Settings
from tests.faults.fault_env import FaultSite, FaultyIngest, Stripe, ingesting, workers
from tests.faults.purchases import event_id
from tests.redis_failover import (
    RedisPair,
    redis_pair,
    sentinel_url,
    three_sentinels,
    url_through,
)
from tests.relay import Relay
from tests.workers.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.slow]

FAILOVERS = 20 if os.environ.get("PAIDUP_TEST_FULL") else 2
SETTLING_SECONDS = 10.0
"""From the failover to the settlement of an event that was accepted after it."""

_folders = count(1)


@pytest.fixture
def pair(servers_folder: Path, redis_binary: Path) -> Iterator[RedisPair]:
    """Yield a primary and its replica."""
    with redis_pair(servers_folder / f"pair-{next(_folders)}", redis_binary) as pair:
        yield pair


@pytest.fixture
def relay(pair: RedisPair) -> Iterator[Relay]:
    """Yield the address that follows the primary."""
    with closing(Relay(pair.primary.port)) as relay:
        yield relay


def _site(database: str, redis_url: str, folder: Path) -> FaultSite:
    site = FaultSite(database, redis_url, folder / "worker.log")
    site.install_plans()
    site.environ["PAIDUP_REDIS_REPLICAS"] = "1"
    return site


def _settle_one(site: FaultSite, ingest: FaultyIngest, name: str) -> None:
    """Deliver a purchase until it is acknowledged, then wait until it is settled."""
    until(lambda: ingest.deliver(name).taken, seconds=60, why=f"{name} is taken")
    until(lambda: site.is_settled([event_id(name)]), seconds=60, why=f"{name} settles")


def test_t60_failovers_under_load_lose_nothing_and_stop_nothing(
    database: str, pair: RedisPair, relay: Relay, tmp_path: Path
) -> None:
    site = _site(database, url_through(relay), tmp_path)
    with ingesting(site) as ingest, workers(site) as worker:
        worker.until_ready()
        _settle_one(site, ingest, "first")
        stripe = Stripe(ingest, count(), rate=20)
        stripe.start()
        pauses = []
        for number in range(FAILOVERS):
            pair.until_replica_follows()
            began = time.monotonic()
            pair.fail_over()
            relay.point_at(pair.primary.port)
            _settle_one(site, ingest, f"after-{number}")
            pauses.append(time.monotonic() - began)
        stripe.ended.set()
        stripe.join()
        site.look_at(pair.primary)
        until(lambda: site.inbox.backlog().workers == 1, seconds=10, why="the worker announces")
        site.check_result()
        print(f"longest pause {max(pauses):.1f} s")  # noqa: T201 - the figure of this test
        assert max(pauses) < SETTLING_SECONDS, pauses
    site.close()


def test_t61_sentinels_promote_after_a_crash_and_all_processes_follow(
    database: str, pair: RedisPair, redis_binary: Path, tmp_path: Path
) -> None:
    site = _site(database, pair.primary.url, tmp_path)
    site.environ["PAIDUP_REDIS_REPLICAS"] = "0"
    with three_sentinels(tmp_path, redis_binary, pair.primary) as sentinels:
        site.environ["REDIS_URL"] = sentinel_url(sentinels)
        with ingesting(site) as ingest, workers(site) as worker:
            worker.until_ready()
            _settle_one(site, ingest, "first")
            old, new = pair.primary, pair.replica
            taken = [ingest.deliver(name).taken for name in range(20)]
            assert site.redis.set("paidup:test", 1)
            assert site.redis.wait(1, 5000) == 1
            sentinels[0].freeze()  # the first that every client asks
            old.kill()
            until(lambda: sentinels[1].primary() == new.port, seconds=60, why="it is promoted")
            promoted = time.monotonic()
            _settle_one(site, ingest, "after-crash")
            assert time.monotonic() - promoted < SETTLING_SECONDS
            sentinels[0].thaw()

            pair.restart_old(old)
            _settle_one(site, ingest, "old-primary-back")
            assert any(taken)
            site.look_at(new)
            site.check_result()
    site.close()


def test_t62_the_broker_may_be_another_redis_behind_sentinels(
    database: str, pair: RedisPair, own_redis: Redis, redis_binary: Path, tmp_path: Path
) -> None:
    site = _site(database, own_redis.url, tmp_path)
    site.environ["PAIDUP_REDIS_REPLICAS"] = "0"
    with three_sentinels(tmp_path, redis_binary, pair.primary) as sentinels:
        site.environ["CELERY_BROKER_URL"] = sentinel_url(sentinels)
        with ingesting(site) as ingest, workers(site) as worker:
            worker.until_ready()
            _settle_one(site, ingest, "first")
            with sentinels[1].client() as client:
                client.execute_command("SENTINEL", "FAILOVER", "paidup")
            new = pair.replica.port
            until(lambda: sentinels[2].primary() == new, seconds=60, why="it is promoted")
            _settle_one(site, ingest, "after")
            with_wakes = make_redis(
                Settings.from_env({"REDIS_URL": site.environ["CELERY_BROKER_URL"]})
            )
            assert with_wakes.exists("paidup:q:_kombu.binding.drain")
            assert "fallback process" not in site.log.read_text()
            with_wakes.close()
            site.check_result()
    site.close()
