"""A payment intent is one payment, in every API version."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing.facts import ChargeFields, Kind, PaymentIntentFields
from ops.samples.worlds.records import Intent
from tests.billing.event_builders import printed
from tests.billing.readers.read_events import facts, ids, only_fact

INTENT = printed(
    Intent(
        id="pi_1",
        customer="cus_1",
        created=1_000,
        status="succeeded",
        amount=2999,
        received=2999,
        latest_charge="ch_1",
        invoice="in_1RaBf9BGumWGk2jtbwKx3P0QvL7",
        metadata={"user_id": "usr_1", "price_id": "price_1", "plan_code": "premium"},
    ),
    invoice="in_1",
)
"""A payment intent with the order reference of new shapes and the invoice of old ones."""


def intent(event_type: str = "payment_intent.succeeded", **changes: Any) -> PaymentIntentFields:
    read = only_fact(event_type, INTENT | changes).fields
    assert isinstance(read, PaymentIntentFields)
    return read


def test_a_payment_intent_is_read_whole() -> None:
    fact = only_fact("payment_intent.succeeded", INTENT)

    assert fact.kind is Kind.PAYMENT_INTENT
    assert ids(fact) == {"pi_1", "cus_1", "in_1", "ch_1"}
    assert fact.fields == PaymentIntentFields(
        status="succeeded",
        amount=2999,
        amount_received=2999,
        currency="usd",
        failed=False,
        invoice="in_1",
        order_reference="in_1RaBf9BGumWGk2jtbwKx3P",
        metadata=(("plan_code", "premium"), ("price_id", "price_1"), ("user_id", "usr_1")),
        own_created_at=datetime.fromtimestamp(1_000, UTC),
        latest_charge="ch_1",
    )


def test_a_payment_that_is_captured_by_hand_and_canceled_says_so() -> None:
    read = intent(status="canceled", capture_method="manual", canceled_at=2_000)

    assert read.manual_capture
    assert read.canceled_at == datetime.fromtimestamp(2_000, UTC)


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"amount_received": 0}, 0),
        ({"amount_received": None}, 2999),
        ({"amount_received": None, "status": "processing"}, 0),
    ],
)
def test_what_was_received_is_what_succeeded(changes: dict[str, Any], received: int) -> None:
    assert intent(**changes).amount_received == received


def test_a_refused_attempt_has_failed() -> None:
    assert intent("payment_intent.payment_failed", status="requires_payment_method").failed
    assert intent(
        "payment_intent.canceled", status="canceled", last_payment_error={"code": "x"}
    ).failed
    assert not intent("payment_intent.processing", status="processing").failed


def test_success_leaves_earlier_attempts_behind() -> None:
    assert not intent(last_payment_error={"code": "card_declined"}).failed


def test_what_was_before_a_failure_had_not_failed() -> None:
    fact = only_fact(
        "payment_intent.payment_failed",
        INTENT | {"last_payment_error": {"code": "card_declined"}},
        previous={"status": "processing", "last_payment_error": None},
    )

    assert isinstance(fact.before, PaymentIntentFields)
    assert not fact.before.failed


def test_an_old_payment_intent_states_its_charges_and_their_refunds() -> None:
    charge = {"id": "ch_1", "paid": True, "amount": 2999, "refunds": [{"id": "re_1"}]}

    read_facts = facts("payment_intent.succeeded", INTENT | {"charges": {"data": [charge]}})

    assert [fact.object_key for fact in read_facts] == ["test:pi_1", "test:ch_1", "test:re_1"]
    assert isinstance(read_facts[1].fields, ChargeFields)
    assert read_facts[1].fields.payment_intent == "pi_1"
    assert ids(read_facts[2]) == {"re_1", "ch_1", "pi_1"}
