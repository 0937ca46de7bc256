"""The whole road, from a request to the rows, as the system tests use it."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from ops.demo.metrics import Readings, moved, read_counters
from ops.demo.observation import Observed, complaints, observe
from ops.demo.plans import PLANS
from ops.samples.lifecycles.expected import Expected
from ops.send.delivery import Answer, Courier
from ops.send.endpoint import Endpoint
from ops.up.stack import Stack
from runtime.database.engine import engine_for

SETTLE_SECONDS = 30.0

_DEPLOYMENT = ("PAIDUP_", "STRIPE_", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")
_KEPT = ("PAIDUP_REDIS_SERVER",)


class Road:
    """A stack that runs, a connection to its front door and one to its database."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.endpoint = Endpoint.at(stack.webhook_url)
        self.secret = stack.webhook_secret
        self.courier = Courier(self.endpoint, self.secret)
        self.engine: Engine = engine_for(stack.database_url, application_name="system tests")

    def close(self) -> None:
        self.courier.close()
        self.engine.dispose()

    def post(self, body: bytes, *, signature: str | None = None) -> Answer:
        return self.courier.post(body, signature=signature)

    def settled(self, ids: Iterable[str]) -> set[str]:
        query = text("SELECT id FROM stripe_events WHERE id = ANY(:ids)")
        with self.engine.connect() as connection:
            return set(connection.execute(query, {"ids": list(ids)}).scalars())

    def await_settled(self, ids: Iterable[str], *, seconds: float = SETTLE_SECONDS) -> None:
        wanted, until = set(ids), time.monotonic() + seconds
        while missing := wanted - self.settled(wanted):
            late = f"{len(missing)} of {len(wanted)} not settled, {min(missing)} among them"
            assert time.monotonic() < until, late
            self.stack.tend()
            time.sleep(0.02)

    def observe(self, user_id: str) -> Observed:
        with self.engine.connect() as connection:
            return observe(connection, user_id)

    def complaints(self, expected: Expected) -> tuple[str, ...]:
        return complaints(expected, self.observe(expected.user_id))

    def counters(self) -> Readings:
        pages = (self.stack.ingest_url, self.stack.worker_metrics_url)
        return read_counters(f"{page}/metrics" for page in pages)

    def await_moved(self, before: Readings, *names: str, seconds: float = 5.0) -> Readings:
        """The steps since then, once every named counter has made one."""
        until = time.monotonic() + seconds
        while True:
            steps = moved(before, self.counters())
            if steps.keys() >= set(names) or time.monotonic() > until:
                return steps
            time.sleep(0.05)


@contextmanager
def road_in(folder: Path, **environ: str) -> Iterator[Road]:
    """A whole stack in a folder, with the sample shop's plans."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(_DEPLOYMENT)
    }
    with Stack(folder, {**clean, "PAIDUP_PLANS": str(PLANS), **environ}, ports="free") as stack:
        road = Road(stack)
        try:
            yield road
        finally:
            road.close()
