"""`--since` leaves out old bills of subscriptions with their payments, and never a purchase."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.backfill.scope import BackfillScope

SINCE = datetime(2026, 6, 1, tzinfo=UTC)
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
BEFORE = int((SINCE - timedelta(days=1)).timestamp())
AFTER = int(SINCE.timestamp())
scope = BackfillScope(since=SINCE, began_at=BEGAN)


RENEWAL = {
    "amount": 900,
    "period": {"end": BEFORE},
    "parent": {
        "type": "subscription_item_details",
        "subscription_item_details": {"subscription": "sub_1", "subscription_item": "si_1"},
    },
}
LIFETIME = {
    "amount": 9900,
    "period": {"start": BEFORE, "end": BEFORE},
    "parent": {
        "type": "invoice_item_details",
        "invoice_item_details": {"subscription": "sub_1", "invoice_item": "ii_1"},
    },
}
"""Something bought once, which Stripe puts on the next bill of the subscription."""


def bill(**fields: Any) -> dict[str, Any]:
    return {
        "id": "in_1",
        "created": BEFORE,
        "status": "paid",
        "parent": {"subscription_details": {"subscription": "sub_1"}},
        "status_transitions": {"paid_at": BEFORE},
        "lines": {"data": [RENEWAL], "has_more": False},
        **fields,
    }


def paying(bill_id: str, **fields: Any) -> dict[str, Any]:
    return {"created": BEFORE, "payment_details": {"order_reference": bill_id}, **fields}


def test_a_settled_bill_of_a_subscription_whose_period_ended_is_left_out() -> None:
    assert scope.is_old_bill("invoice", bill())


@pytest.mark.parametrize(
    "fields",
    [
        {"parent": None},
        {"status": "open"},
        {"created": AFTER},
        {"status_transitions": {"paid_at": AFTER}},
        {"lines": {"data": [RENEWAL | {"period": {"end": AFTER}}], "has_more": False}},
        {"lines": {"data": [RENEWAL], "has_more": True}},
        {"lines": {"data": [RENEWAL, LIFETIME], "has_more": False}},
    ],
    ids=[
        "a purchase",
        "unpaid",
        "made since",
        "paid since",
        "runs on",
        "lines cut off",
        "with something bought beside the subscription",
    ],
)
def test_any_other_bill_counts(fields: dict[str, Any]) -> None:
    assert not scope.is_old_bill("invoice", bill(**fields))


def test_no_other_family_is_an_old_bill() -> None:
    assert not scope.is_old_bill("subscription", bill())


@pytest.mark.parametrize(
    ("family", "raw", "name"),
    [
        ("payment_intent", paying("in_1"), "in_1"),
        ("payment_intent", paying("order 7"), None),
        ("payment_intent", paying("in_1", created=AFTER), None),
        ("payment_intent", {"created": BEFORE}, None),
        ("charge", {"created": BEFORE, "payment_intent": "pi_1"}, "pi_1"),
        ("charge", {"created": BEFORE, "payment_intent": None}, None),
        ("charge", {"created": AFTER, "payment_intent": "pi_1"}, None),
        ("refund", {"created": AFTER, "payment_intent": None, "charge": "ch_1"}, "ch_1"),
        ("dispute", {"created": BEFORE, "payment_intent": "pi_1", "charge": "ch_1"}, "pi_1"),
        ("credit_note", {"created": BEFORE, "invoice": "in_1"}, "in_1"),
        ("refund", {"created": int(BEGAN.timestamp()), "charge": "ch_1"}, None),
        ("refund", {"charge": "ch_1"}, None),
        ("customer", {"created": BEFORE}, None),
    ],
)
def test_an_object_follows_what_it_belongs_to(
    family: str, raw: dict[str, Any], name: str | None
) -> None:
    assert scope.follows(family, raw) == name


def test_what_belongs_to_something_unknown_is_left_out() -> None:
    objects = [
        ("invoice", bill()),
        ("payment_intent", paying("in_1")),
        ("payment_intent", paying("in_2")),
        ("customer", {"created": BEFORE}),
    ]

    left_out = scope.left_out(objects, known={"in_2"}, named=())

    assert left_out == (True, True, False, False)


def test_an_old_bill_that_something_names_counts() -> None:
    assert scope.left_out([("invoice", bill())], known=(), named={"in_1"}) == (False,)
