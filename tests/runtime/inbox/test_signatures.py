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
    record.add(mismatched=0, matched=("0a1b",))
    assert record.read() is None


def test_mismatches_of_all_processes_are_added_up(record: SignatureRecord, client: Client) -> None:
    record.add(mismatched=2, matched=())
    first = record.read()
    SignatureRecord(client).add(mismatched=3, matched=())
    second = record.read()

    assert first is not None
    assert second is not None
    assert (first.deliveries, second.deliveries) == (2, 5)
    assert second.first_at == first.first_at
    assert second.first_at <= second.last_at
    assert second.matched_at is None
    assert client.pttl(f"{PREFIX}signatures") > 0


def test_a_match_forgets_the_mismatches_before_it(record: SignatureRecord) -> None:
    record.add(mismatched=2, matched=())
    record.add(mismatched=0, matched=("0a1b",))
    assert record.read() is None

    record.add(mismatched=1, matched=())
    found = record.read()

    assert found is not None
    assert found.deliveries == 1
    assert found.matched_at is not None
    assert found.matched_at <= found.first_at


def test_each_secret_has_the_time_of_its_last_use(record: SignatureRecord, client: Client) -> None:
    record.add(mismatched=0, matched=("0a1b", "2c3d"))
    first = record.last_used()
    record.add(mismatched=4, matched=())
    assert record.last_used() == first

    record.add(mismatched=0, matched=("0a1b",))
    second = record.last_used()

    assert first.keys() == second.keys() == {"0a1b", "2c3d"}
    assert second["2c3d"] == first["2c3d"] <= second["0a1b"]
    assert client.pttl(f"{PREFIX}secrets") > 0
