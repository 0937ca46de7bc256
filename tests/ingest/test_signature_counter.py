"""Deliveries that match no secret are counted in memory and reported to Redis by a thread."""

from collections.abc import Collection
from dataclasses import dataclass, field

import pytest
import redis

from runtime.telemetry import secret_fingerprint
from tests.fakes import SECRET
from tests.ingest.ingest_client import SIGNED_AT, IngestClient, event

OURS = frozenset({secret_fingerprint(SECRET)})
NONE: frozenset[str] = frozenset()


@dataclass
class FakeSignatures:
    """Keeps what was added, or raises ``broken``."""

    added: list[tuple[int, frozenset[str]]] = field(default_factory=list)
    broken: Exception | None = None

    def add(self, *, mismatched: int, matched: Collection[str]) -> None:
        if self.broken:
            raise self.broken
        self.added.append((mismatched, frozenset(matched)))


@pytest.fixture
def ingest() -> IngestClient:
    return IngestClient()


@pytest.fixture
def record() -> FakeSignatures:
    return FakeSignatures()


def deliver_wrongly(ingest: IngestClient) -> None:
    assert ingest.deliver(secret="whsec_of_another_endpoint").status_code == 403


def test_only_a_signature_of_no_secret_is_counted(
    ingest: IngestClient, record: FakeSignatures
) -> None:
    deliver_wrongly(ingest)
    ingest.post(event())
    ingest.post(event(), "t=1")
    deliver_wrongly(ingest)

    ingest.signatures.report(record)
    ingest.signatures.report(record)

    assert record.added == [(2, NONE)]


def test_an_old_signature_of_the_right_secret_is_neither(
    ingest: IngestClient, record: FakeSignatures
) -> None:
    assert ingest.deliver(at=SIGNED_AT - 9999).status_code == 403

    ingest.signatures.report(record)

    assert record.added == []


def test_matches_are_reported_once_a_minute_and_at_once_after_a_mismatch(
    ingest: IngestClient, record: FakeSignatures
) -> None:
    for _ in range(3):
        ingest.deliver()
        ingest.signatures.report(record)
    assert record.added == [(0, OURS)]

    deliver_wrongly(ingest)
    ingest.signatures.report(record)
    ingest.deliver()
    ingest.signatures.report(record)

    assert record.added[1:] == [(1, OURS), (0, OURS)]

    ingest.deliver()
    ingest.signatures.report(record)
    ingest.clock.advance(61)
    ingest.signatures.report(record)

    assert record.added[3:] == [(0, OURS)]


def test_what_redis_did_not_take_is_added_later(
    ingest: IngestClient, record: FakeSignatures
) -> None:
    deliver_wrongly(ingest)
    record.broken = redis.ConnectionError("away")
    with pytest.raises(redis.ConnectionError):
        ingest.signatures.report(record)
    record.broken = None
    deliver_wrongly(ingest)

    ingest.signatures.report(record)

    assert record.added == [(2, NONE)]
