"""Charges, refunds and disputes are read in every shape, also inside each other."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing.facts import ChargeFields, DisputeFields, Kind, Rank, RefundFields
from ops.samples.api_shapes import Shape
from ops.samples.worlds.records import Charge, Dispute, Refund
from tests.billing.event_builders import CREATED, printed
from tests.billing.readers.read_events import facts, ids, only_fact

CHARGE = printed(
    Charge(
        id="ch_1",
        customer="cus_1",
        created=1_000,
        status="succeeded",
        amount=1000,
        amount_captured=1000,
        currency="eur",
        intent="pi_1",
        invoice="in_1",
        dispute="dp_1",
        metadata={"user_id": "usr_1"},
    ),
    Shape.OLD,
    amount_refunded=400,
    payment_details={"order_reference": "in_1RaBf9BGumWGk2jtbw"},
)
"""A charge with the invoice of old shapes and the order reference of new ones."""


def charge(**changes: Any) -> ChargeFields:
    read = only_fact("charge.updated", CHARGE | changes).fields
    assert isinstance(read, ChargeFields)
    return read


def test_a_charge_is_read_whole() -> None:
    fact = only_fact("charge.refunded", CHARGE)

    assert fact.kind is Kind.CHARGE
    assert ids(fact) == {"ch_1", "cus_1", "pi_1", "in_1", "dp_1"}
    assert fact.fields == ChargeFields(
        status="succeeded",
        captured=True,
        amount=1000,
        amount_captured=1000,
        amount_refunded=400,
        currency="eur",
        payment_intent="pi_1",
        invoice="in_1",
        metadata=(("user_id", "usr_1"),),
        own_created_at=datetime.fromtimestamp(1_000, UTC),
        order_reference="in_1RaBf9BGumWGk2jtbw",
    )


def test_a_charge_refunded_in_full_says_so() -> None:
    assert charge(refunded=True).refunded_in_full


def test_the_total_refunded_before_is_read_from_what_changed() -> None:
    fact = only_fact("charge.refunded", CHARGE, previous={"amount_refunded": 0})

    assert isinstance(fact.before, ChargeFields)
    assert fact.before.amount_refunded == 0


@pytest.mark.parametrize(
    ("stated", "status"),
    [
        ({"status": "pending"}, "pending"),
        ({"status": "paid"}, "succeeded"),
        ({"status": None, "paid": True}, "succeeded"),
        ({"status": None, "paid": False}, "failed"),
        ({"status": None, "paid": None}, "unknown"),
        ({"status": "evaporated", "paid": True}, "evaporated"),
    ],
)
def test_the_status_of_old_charges_is_mapped_to_the_present_one(
    stated: dict[str, Any], status: str
) -> None:
    assert charge(**stated).status == status


@pytest.mark.parametrize(
    ("stated", "captured", "amount"),
    [
        ({"amount_captured": 600}, True, 600),
        ({"amount_captured": None}, True, 1000),
        ({"amount_captured": None, "captured": None}, True, 1000),
        ({"amount_captured": None, "captured": False}, False, 0),
        ({"amount_captured": None, "captured": True, "status": "failed"}, True, 0),
    ],
)
def test_what_was_captured_is_known_in_every_version(
    stated: dict[str, Any], *, captured: bool, amount: int
) -> None:
    read = charge(**stated)

    assert (read.captured, read.amount_captured) == (captured, amount)
    assert read.captured_assumed is (stated.get("amount_captured") is None and amount > 0)


def test_a_charge_without_a_currency_is_in_none() -> None:
    assert charge(currency=None).currency == "xxx"


def test_an_old_charge_states_its_refunds_and_its_dispute_too() -> None:
    stated = CHARGE | {
        "refunds": {"data": [{"id": "re_1", "amount": 400, "currency": "eur"}, {"amount": 1}]},
        "dispute": {"amount": 1000, "status": "lost", "currency": "eur"},
    }

    read_facts = facts("charge.refunded", stated, previous={"refunds": {"data": []}})

    assert [fact.object_key for fact in read_facts] == [
        "test:ch_1",
        "test:re_1",
        "test:dispute/ch_1",
    ]
    assert [fact.before is None for fact in read_facts] == [False, True, True]
    assert {(fact.created_at, fact.rank) for fact in read_facts} == {
        (datetime.fromtimestamp(CREATED, UTC), Rank.UPDATED)
    }
    assert read_facts[1].fields == RefundFields(
        status="succeeded", amount=400, currency="eur", charge="ch_1", payment_intent="pi_1"
    )
    assert ids(read_facts[1]) == {"re_1", "ch_1", "pi_1"}


def test_the_same_object_twice_in_one_event_is_one_fact() -> None:
    refunds = [{"id": "re_1", "amount": 1}, {"id": "re_1", "amount": 2}]

    read_facts = facts("charge.refunded", CHARGE | {"refunds": refunds})

    assert [fact.object_key for fact in read_facts] == ["test:ch_1", "test:re_1"]


@pytest.mark.parametrize(
    ("event_type", "rank"),
    [
        ("refund.created", Rank.CREATED),
        ("refund.failed", Rank.UPDATED),
        ("charge.refund.updated", Rank.UPDATED),
    ],
)
def test_a_refund_is_read_whole(event_type: str, rank: Rank) -> None:
    refund = Refund(id="re_1", charge="ch_1", intent=None, created=1_000, amount=5, status="failed")

    fact = only_fact(event_type, printed(refund, charge={"id": "ch_1"}))

    assert (fact.kind, fact.rank) == (Kind.REFUND, rank)
    assert fact.fields == RefundFields(
        status="failed",
        amount=5,
        currency="usd",
        charge="ch_1",
        payment_intent=None,
        own_created_at=datetime.fromtimestamp(1_000, UTC),
    )


def test_a_dispute_is_read_whole() -> None:
    dispute = Dispute(
        id="dp_1", charge="ch_1", intent="pi_1", created=1_000, amount=1000, status="lost"
    )

    fact = only_fact("charge.dispute.closed", printed(dispute), previous={"status": "under_review"})

    assert fact.kind is Kind.DISPUTE
    assert ids(fact) == {"dp_1", "ch_1", "pi_1"}
    assert fact.fields == DisputeFields(
        status="lost",
        amount=1000,
        currency="usd",
        charge="ch_1",
        payment_intent="pi_1",
        opened_at=datetime.fromtimestamp(1_000, UTC),
    )
    assert isinstance(fact.before, DisputeFields)
    assert fact.before.status == "under_review"


def test_a_dispute_from_before_they_had_ids_is_filed_under_its_charge() -> None:
    fact = only_fact("charge.dispute.created", {"charge": "ch_1", "status": "needs_response"})

    assert fact.object_key == "test:dispute/ch_1"
    assert isinstance(fact.fields, DisputeFields)
    assert fact.fields.opened_at == datetime.fromtimestamp(CREATED, UTC)


def test_an_embedded_object_keeps_its_own_values() -> None:
    stated = CHARGE | {
        "refunds": [{"id": "re_1", "charge": "ch_2", "payment_intent": "pi_2"}],
        "dispute": {"id": "dp_1", "charge": "ch_3", "status": "lost"},
    }

    refund, dispute = facts("charge.refunded", stated)[1:]

    assert ids(refund) == {"re_1", "ch_2", "pi_2"}
    assert ids(dispute) == {"dp_1", "ch_3", "pi_1"}
    assert isinstance(dispute.fields, DisputeFields)
    assert dispute.fields.opened_at == datetime.fromtimestamp(CREATED, UTC)


def test_a_dispute_without_a_time_was_opened_when_it_was_seen_also_before() -> None:
    fact = only_fact(
        "charge.dispute.updated", {"id": "dp_1", "status": "lost"}, previous={"status": "won"}
    )

    assert isinstance(fact.before, DisputeFields)
    assert fact.before.opened_at == datetime.fromtimestamp(CREATED, UTC)
