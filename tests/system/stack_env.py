"""A whole stack, from the HTTP request to the rows, for the system tests."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from ops.demo.metrics import Readings, counter_changes, read_counters
from ops.demo.observation import Observed, differences, observe
from ops.demo.plans import PLANS
from ops.samples.lifecycles.expected import Expected
from ops.send.delivery import DeliveryClient, EndpointResponse
from ops.send.endpoint import Endpoint
from ops.up.stack import Stack
from runtime.database.engine import engine_for

SETTLE_SECONDS = 120.0

_DEPLOYMENT = ("PAIDUP_", "STRIPE_", "DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")
_KEPT = ("PAIDUP_REDIS_SERVER",)


class StackUnderTest:
    """A running stack, a client of its ingest and a connection to its database."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.endpoint = Endpoint.at(stack.webhook_url)
        self.secret = stack.webhook_secret
        self.client = DeliveryClient(self.endpoint, self.secret)
        self.engine: Engine = engine_for(stack.database_url, application_name="system tests")

    def close(self) -> None:
        self.client.close()
        self.engine.dispose()

    def post(self, body: bytes, *, signature: str | None = None) -> EndpointResponse:
        """Deliver as Stripe does, again after a 503; with a signature given, once.

        A busy disk may hold Redis up for longer than ingest waits. What is not sent again then
        looks like an event that is lost.
        """
        if signature is None:
            return self.client.deliver(body)
        return self.client.post(body, signature=signature)

    def settled(self, ids: Iterable[str]) -> set[str]:
        query = text("SELECT id FROM stripe_events WHERE id = ANY(:ids)")
        with self.engine.connect() as connection:
            return set(connection.execute(query, {"ids": list(ids)}).scalars())

    def await_settled(self, ids: Iterable[str], *, seconds: float = SETTLE_SECONDS) -> None:
        wanted, until = set(ids), time.monotonic() + seconds
        while missing := wanted - self.settled(wanted):
            late = f"{len(missing)} of {len(wanted)} not settled, {min(missing)} among them"
            assert time.monotonic() < until, late
            self.stack.restart_ended()
            time.sleep(0.02)

    def observe(self, user_id: str) -> Observed:
        with self.engine.connect() as connection:
            return observe(connection, user_id)

    def differences(self, expected: Expected) -> tuple[str, ...]:
        return differences(expected, self.observe(expected.user_id))

    def counters(self) -> Readings:
        pages = (self.stack.ingest_url, self.stack.worker_metrics_url)
        return read_counters(f"{page}/metrics" for page in pages)

    def await_moved(self, before: Readings, *names: str, seconds: float = 5.0) -> Readings:
        """Return the increments since ``before``, once every named counter has one."""
        until = time.monotonic() + seconds
        while True:
            steps = counter_changes(before, self.counters())
            if steps.keys() >= set(names) or time.monotonic() > until:
                return steps
            time.sleep(0.05)


@contextmanager
def running_system(folder: Path, **environ: str) -> Iterator[StackUnderTest]:
    """Run a whole stack in a folder, with the sample shop's plans."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(_DEPLOYMENT)
    }
    with Stack(folder, {**clean, "PAIDUP_PLANS": str(PLANS), **environ}, ports="free") as stack:
        system = StackUnderTest(stack)
        try:
            yield system
        finally:
            system.close()
