"""Ingest with ``PAIDUP_REDIS_REPLICAS``: without the replica it acknowledges nothing."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.purchases import purchase
from tests.ingest.ingest_process import ServerProcess, serving, wait_until
from tests.redis_failover import RedisPair, redis_pair, url_through
from tests.relay import Relay

pytestmark = pytest.mark.servers


@pytest.fixture
def pair(servers_folder: Path, redis_binary: Path, tmp_path: Path) -> Iterator[RedisPair]:
    """Yield a primary and its replica."""
    with redis_pair(servers_folder / tmp_path.name, redis_binary) as pair:
        yield pair


def _unsafe(ingest: ServerProcess) -> str:
    return ingest.get("/readyz").body.decode()


def test_with_a_frozen_replica_delivery_and_redelivery_are_503_until_it_is_back(
    pair: RedisPair, tmp_path: Path
) -> None:
    with serving(pair.primary.url, tmp_path, PAIDUP_REDIS_REPLICAS="1") as ingest:
        assert ingest.deliver(purchase("before")).status == 202
        pair.replica.freeze()

        answers = [ingest.deliver(purchase("during")) for _ in range(6)]
        wait_until(lambda: "Redis: 0 of 1 replicas" in _unsafe(ingest))
        answers += [ingest.deliver(purchase("during")) for _ in range(6)]

        assert {answer.status for answer in answers} == {503}
        assert all(answer.headers["retry-after"] for answer in answers)
        assert ingest.count("billing_webhook_unreplicated_total") > 0
        wait_until(lambda: ingest.count("billing_redis_replicas_confirmed") == 0)

        pair.replica.thaw()
        wait_until(ingest.ready, seconds=30)
        wait_until(lambda: ingest.count("billing_redis_replicas_confirmed") == 1)
        wait_until(lambda: ingest.deliver(purchase("during")).status == 200)


def test_an_old_primary_that_lives_on_as_a_replica_does_not_hold_ingest(
    pair: RedisPair, tmp_path: Path
) -> None:
    with (
        closing(Relay(pair.primary.port)) as relay,
        serving(url_through(relay), tmp_path) as ingest,
    ):
        assert ingest.deliver(purchase("before")).status == 202
        pair.fail_over()
        wait_until(lambda: "Redis is a replica" in _unsafe(ingest))

        relay.point_at(pair.primary.port)

        wait_until(ingest.ready, seconds=10)
        wait_until(lambda: ingest.deliver(purchase("after")).status in {200, 202}, seconds=10)
