"""A customer is read from its metadata, and stays deleted."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing.facts import CustomerFields, Kind, Rank, metadata_value
from ops.samples.worlds.records import Customer
from tests.billing.event_builders import printed
from tests.billing.readers.read_events import only_fact


def test_a_customer_is_read_whole() -> None:
    made = Customer(
        id="cus_1", created=1794700800, metadata={"user_id": "usr_1"}, test_clock="clock_1"
    )

    fact = only_fact("customer.created", printed(made))

    assert fact.kind is Kind.CUSTOMER
    assert fact.object_key == "test:cus_1"
    assert fact.customer_id == "cus_1"
    assert fact.rank is Rank.CREATED
    assert fact.fields == CustomerFields(
        deleted=False,
        metadata=(("user_id", "usr_1"),),
        own_created_at=datetime(2026, 11, 15, tzinfo=UTC),
        test_clock="clock_1",
    )
    assert fact.mentions == ("test:cus_1",)


def test_all_metadata_is_kept_but_what_is_no_text() -> None:
    metadata = {"b": "2", "a": "1", "empty": "", "number": 7, "k" * 256: "long", "long": "v" * 256}

    fact = only_fact("customer.updated", {"id": "cus_1", "metadata": metadata})

    assert isinstance(fact.fields, CustomerFields)
    assert fact.fields.metadata == (("a", "1"), ("b", "2"))
    assert metadata_value(fact.fields.metadata, "b") == "2"
    assert metadata_value(fact.fields.metadata, "c") is None


@pytest.mark.parametrize("metadata", [None, [], {}, {"user_id": ""}, {"user_id": 7}])
def test_metadata_without_a_user_names_no_user(metadata: object) -> None:
    fact = only_fact("customer.updated", {"id": "cus_1", "metadata": metadata})

    assert fact.fields == CustomerFields(deleted=False)


@pytest.mark.parametrize(
    ("event_type", "stated"),
    [
        ("customer.deleted", {"id": "cus_1"}),
        ("customer.updated", {"id": "cus_1", "deleted": True}),
    ],
)
def test_a_deleted_customer_is_one(event_type: str, stated: dict[str, Any]) -> None:
    assert only_fact(event_type, stated).fields == CustomerFields(deleted=True)


def test_the_user_a_customer_had_before_is_read_from_what_changed() -> None:
    fact = only_fact(
        "customer.updated",
        {"id": "cus_1", "metadata": {"user_id": "usr_2"}},
        previous={"metadata": {"user_id": "usr_1"}},
    )

    assert fact.before == CustomerFields(deleted=False, metadata=(("user_id", "usr_1"),))
