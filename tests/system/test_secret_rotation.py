"""Replace the signing secret as docs/operations.md says, while Stripe delivers: none is refused.

Two real ingests take the deliveries. One of them at a time is taken out of rotation and started
again, as a proxy and a rollout do it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest
import redis

from runtime.inbox.signatures import SignatureRecord
from runtime.telemetry import secret_fingerprint
from tests.ingest.ingest_client import event, sign
from tests.ingest.ingest_process import ServerProcess, serving, wait_until

pytestmark = pytest.mark.servers

OLD = "whsec_" + "5f3a" * 8
NEW = "whsec_" + "0b1c" * 8
AT_LEAST = 20
LAST_USED = "billing_webhook_secret_last_used_timestamp_seconds"


def signed_by(body: bytes, *secrets: str) -> str:
    """Return the header of a delivery; while a secret is rolled, Stripe signs with both."""
    headers = [sign(body, secret=each, at=int(time.time())) for each in secrets]
    return ",".join([headers[0], *(each.partition(",")[2] for each in headers[1:])])


class Instance:
    """One ingest behind the proxy, with the secrets that it was started with."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self._redis_url = redis_url
        self._folder = folder
        self._running = ExitStack()
        self.lock = threading.Lock()
        self.process: ServerProcess

    def restart(self, secrets: str) -> None:
        """Start it with these secrets, while no delivery is on its way to it."""
        with self.lock:
            self._running.close()
            environ = {"STRIPE_WEBHOOK_SECRET": secrets, "PAIDUP_INGEST_PROCESSES": "1"}
            started = serving(self._redis_url, self._folder, **environ)
            self.process = self._running.enter_context(started)

    def stop(self) -> None:
        self._running.close()

    def last_used(self, secret: str) -> float:
        return self.process.count(f'{LAST_USED}{{secret="{secret_fingerprint(secret)}"}}')


class SteadyDeliveries:
    """Delivers one event after the other to an instance that is in rotation."""

    def __init__(self, instances: tuple[Instance, Instance]) -> None:
        self.signers: tuple[str, ...] = (OLD,)
        self.answers: list[int] = []
        self._instances = instances
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="stripe", daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()

    def sign_with(self, *secrets: str) -> None:
        """Sign with these secrets from now on, and wait for some deliveries."""
        self.signers = secrets
        self.wait_for_some()

    def wait_for_some(self) -> None:
        before = len(self.answers)
        wait_until(lambda: len(self.answers) >= before + AT_LEAST)

    def _deliver(self) -> None:
        for number in count():
            if self._ended.is_set():
                return
            instance = self._instances[number % 2]
            if not instance.lock.acquire(blocking=False):
                continue
            try:
                body = event(f"evt_{number}")
                answer = instance.process.post(body, signed_by(body, *self.signers))
                self.answers.append(answer.status)
            finally:
                instance.lock.release()


@pytest.fixture
def instances(redis_url: str, tmp_path: Path) -> Iterator[tuple[Instance, Instance]]:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    one, two = (Instance(redis_url, folder) for folder in folders)
    one.restart(OLD)
    two.restart(OLD)
    yield one, two
    one.stop()
    two.stop()


def test_no_delivery_is_refused_while_the_secret_is_replaced(
    instances: tuple[Instance, Instance], redis_url: str
) -> None:
    stripe = SteadyDeliveries(instances)
    with stripe.running():
        stripe.wait_for_some()
        stripe.sign_with(OLD, NEW)
        for each in instances:
            each.restart(f"{NEW},{OLD}")
            stripe.wait_for_some()
        stripe.sign_with(NEW)
        unused = [each.last_used(OLD) for each in instances]
        stripe.wait_for_some()
        assert [each.last_used(OLD) for each in instances] == unused
        for each in instances:
            each.restart(NEW)
            stripe.wait_for_some()

    assert set(stripe.answers) == {202}
    late = event("evt_late")
    refused = {each.process.post(late, signed_by(late, OLD)).status for each in instances}
    assert refused == {403}
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        assert secret_fingerprint(NEW) in SignatureRecord(client).last_used()
