"""A batch that outlasts its lease, on a real Redis."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta

import pytest
import redis
from prometheus_client import CollectorRegistry

from billing.envelope import parse
from runtime.inbox.inbox import Inbox
from runtime.ledger.deliveries import Delivery, Settlement
from runtime.telemetry import build_metrics
from runtime.time_limits import HEARTBEAT_SECONDS
from tests.workers.fakes import NOW, DeadLetterFake, FakeLedger, body_of
from tests.workers.waiting import until
from workers.batches.drainer import Drainer
from workers.batches.executor import BatchExecutor
from workers.batches.finisher import Finisher
from workers.batches.reporting import Reporter

pytestmark = pytest.mark.servers

LEASE = timedelta(seconds=2.5 * HEARTBEAT_SECONDS)
"""A quarter of production's, to save time; the heartbeat is production's."""


def test_a_batch_that_takes_longer_than_its_lease_keeps_its_claim(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url, protocol=2)
    inbox = Inbox(client, lease=LEASE)
    inbox.accept(parse(body_of("evt_1")))
    ledger = FakeLedger()
    reclaimed: list[int] = []

    def record_slowly(deliveries: Sequence[Delivery], lock_seconds: float) -> list[Settlement]:
        (token,) = client.zrange("paidup:claims", 0, -1)
        ends_at = time.monotonic() + 2 * LEASE.total_seconds()

        def sweep() -> None:
            reclaimed.append(inbox.sweep().reclaimed)

        until(lambda: time.monotonic() > ends_at, meanwhile=sweep)
        assert client.zrange("paidup:claims", 0, -1) == [token]
        return ledger.record(deliveries, lock_seconds)

    _drainer(inbox, record_slowly).run("wake")

    assert sum(reclaimed) == 0
    assert len(ledger.calls) == 1
    assert inbox.backlog().counters["finished"] == 1
    assert inbox.backlog().events == 0
    client.close()


def _drainer(inbox: Inbox, record: object) -> Drainer:
    metrics = build_metrics(CollectorRegistry())
    executor = BatchExecutor(
        record=record,  # type: ignore[arg-type]
        with_stored_fetches=list,
        now=lambda: NOW,
        chance=lambda: 0.0,
    )
    return Drainer(
        queue=inbox,
        claimed=inbox,
        execute=executor.execute,
        finisher=Finisher(
            inbox=inbox,
            write_dead_letters=DeadLetterFake(),
            reporter=Reporter(metrics),
            now=lambda: NOW,
        ),
        publish=lambda _: True,
        is_stopping=lambda: False,
        on_claim=lambda: None,
        holding=nullcontext,
    )
