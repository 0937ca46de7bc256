"""The record of deliveries that matched no secret, on a real Redis."""

import pytest

from runtime.inbox.signatures import SignatureRecord
from tests.runtime.inbox.entry_builders import PREFIX, Client

pytestmark = pytest.mark.servers


@pytest.fixture
def record(client: Client) -> SignatureRecord:
    return SignatureRecord(client)


def test_there_is_no_report_while_signatures_match(record: SignatureRecord) -> None:
    assert record.read() is None
    record.add(mismatched=0, matched=True)
    assert record.read() is None


def test_mismatches_of_all_processes_are_added_up(record: SignatureRecord, client: Client) -> None:
    record.add(mismatched=2, matched=False)
    first = record.read()
    SignatureRecord(client).add(mismatched=3, matched=False)
    second = record.read()

    assert first is not None
    assert second is not None
    assert (first.deliveries, second.deliveries) == (2, 5)
    assert second.first_at == first.first_at
    assert second.first_at <= second.last_at
    assert second.matched_at is None
    assert client.pttl(f"{PREFIX}signatures") > 0


def test_a_match_forgets_the_mismatches_before_it(record: SignatureRecord) -> None:
    record.add(mismatched=2, matched=False)
    record.add(mismatched=0, matched=True)
    assert record.read() is None

    record.add(mismatched=1, matched=False)
    found = record.read()

    assert found is not None
    assert found.deliveries == 1
    assert found.matched_at is not None
    assert found.matched_at <= found.first_at
