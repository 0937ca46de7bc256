"""The endpoint's path, and what becomes of signed deliveries at another one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import prometheus_client
import pytest
import redis
from structlog.testing import capture_logs

from ingest.wrong_paths import WrongPathCounter
from tests.fakes import settings
from tests.ingest.ingest_client import IngestClient, event, problem, sign


@dataclass
class FakeRecord:
    """Keeps what was added, or raises ``broken``."""

    added: list[Mapping[str, int]] = field(default_factory=list)
    broken: Exception | None = None

    def add(self, deliveries: Mapping[str, int]) -> None:
        if self.broken:
            raise self.broken
        self.added.append(dict(deliveries))


@pytest.fixture
def ingest() -> IngestClient:
    return IngestClient(settings=settings(PAIDUP_WEBHOOK_PATH="/hooks/stripe"))


@pytest.fixture
def record() -> FakeRecord:
    return FakeRecord()


def deliver_to(ingest: IngestClient, path: str, *, method: str = "POST") -> tuple[int, str]:
    body = event()
    headers = {"Content-Type": "application/json", "Stripe-Signature": sign(body)}
    return problem(ingest.client.open(path, method=method, data=body, headers=headers))


@pytest.mark.parametrize("setting", ["/hooks/stripe", "/hooks/stripe/"])
@pytest.mark.parametrize("path", ["/hooks/stripe", "/hooks/stripe/"])
def test_a_slash_at_the_end_makes_no_difference(setting: str, path: str) -> None:
    ingest = IngestClient(settings=settings(PAIDUP_WEBHOOK_PATH=setting))
    body = event()

    accepted = ingest.client.post(
        path,
        data=body,
        headers={"Content-Type": "application/json"} | {"Stripe-Signature": sign(body)},
    )

    assert accepted.status_code == 202
    assert problem(ingest.client.put(path))[0] == 405
    assert ingest.count("billing_webhook_wrong_path_total") == 0


@pytest.mark.parametrize(
    "path", ["/webhooks/stripe", "/hooks/stripe//", "/hooks/Stripe", "/", "/hooks", "/metrics"]
)
def test_a_signed_delivery_at_another_path_is_refused_and_counted(
    ingest: IngestClient, record: FakeRecord, path: str
) -> None:
    status, _ = deliver_to(ingest, path)
    ingest.wrong_paths.report(record)

    assert status == (405 if path == "/metrics" else 404)
    assert ingest.inbox.asked == 0
    assert ingest.count("billing_webhook_wrong_path_total") == 1
    assert record.added == [{path: 1}]


def test_a_request_without_a_signature_is_no_delivery(
    ingest: IngestClient, record: FakeRecord
) -> None:
    ingest.client.post("/wp-login.php", data=b"{}")
    ingest.wrong_paths.report(record)

    assert ingest.count("billing_webhook_wrong_path_total") == 0
    assert record.added == []


def test_the_log_names_paths_and_remedy_once_a_minute(
    ingest: IngestClient, record: FakeRecord
) -> None:
    with capture_logs() as lines:
        for _ in range(3):
            deliver_to(ingest, "/webhook")
            ingest.wrong_paths.report(record)
        ingest.clock.advance(61)
        ingest.wrong_paths.report(record)
        ingest.wrong_paths.report(record)

    first, second = [line for line in lines if "wrong path" in line["event"]]
    assert first["deliveries"] == {"/webhook": 1}
    assert second["deliveries"] == {"/webhook": 2}
    assert first["endpoint"] == "/hooks/stripe"
    assert "PAIDUP_WEBHOOK_PATH" in first["do"]


def test_a_flood_of_made_up_paths_takes_bounded_room(
    ingest: IngestClient, record: FakeRecord
) -> None:
    with capture_logs() as lines:
        for number in range(200):
            deliver_to(ingest, f"/{number}/{'x' * 1000}")
        ingest.wrong_paths.report(record)

    (added,) = record.added
    assert sum(added.values()) == 200
    assert len(added) <= 21
    assert all(len(path) <= 120 for path in added)
    assert sum("wrong path" in line["event"] for line in lines) == 1


def test_of_a_long_path_only_the_part_that_is_shown_is_encoded(record: FakeRecord) -> None:
    class UncutPath(str):
        __slots__ = ()

        def encode(self, *_: object) -> bytes:
            raise AssertionError(f"{len(self)} characters")

    counted = prometheus_client.Counter("wrong_paths", "Of this test.", registry=None)
    counter = WrongPathCounter("/hooks/stripe", counted, clock=lambda: 0.0)

    counter.add(UncutPath("/" + "\xeb" * 65_000))
    counter.report(record)

    assert record.added == [{("/" + "%EB" * 40)[:120]: 1}]


def test_a_path_is_shown_in_characters_that_no_terminal_obeys(
    ingest: IngestClient, record: FakeRecord
) -> None:
    deliver_to(ingest, "/%1b[2J/caf%c3%a9")
    ingest.wrong_paths.report(record)

    assert record.added == [{"/%1B%5B2J/caf%C3%A9": 1}]


def test_what_redis_did_not_take_is_added_later(ingest: IngestClient, record: FakeRecord) -> None:
    deliver_to(ingest, "/webhook")
    record.broken = redis.ConnectionError("away")
    with pytest.raises(redis.ConnectionError):
        ingest.wrong_paths.report(record)
    deliver_to(ingest, "/webhook")
    record.broken = None

    ingest.wrong_paths.report(record)
    ingest.wrong_paths.report(record)

    assert record.added == [{"/webhook": 2}]
