from dataclasses import replace
from typing import Any

import pytest

from ops.demo.observation import Observed, differences
from ops.samples.lifecycles.expected import Expected, ExpectedGrant, ExpectedPayment

EXPECTED = Expected(
    user_id="usr_1",
    customer_id="cus_1",
    grants=(
        ExpectedGrant(source="sub_1", plan_code="premium", features={"max_devices": 5}),
        ExpectedGrant(source="cus_1", plan_code=None, features={"exports": True}, active=False),
    ),
    payments=(ExpectedPayment(payment_ref="pi_1", amount_minor=2999, amount_refunded_minor=1000),),
    subscriptions={"sub_1": "active"},
    purchases={},
)

PREMIUM: dict[str, Any] = {
    "source": "sub_1",
    "plan_code": "premium",
    "entitlements": {"max_devices": 5},
    "active": True,
}
LISTED = {"source": "cus_1", "plan_code": "s", "entitlements": {"exports": True}, "active": False}
PAYMENT: dict[str, Any] = {
    "payment_ref": "pi_1",
    "amount_minor": 2999,
    "amount_refunded_minor": 1000,
    "currency": "usd",
    "status": "succeeded",
    "dispute_status": None,
}

WELL = Observed(
    customers=({"stripe_customer_id": "cus_1"},),
    subscriptions=({"stripe_subscription_id": "sub_1", "status": "active"},),
    purchases=(),
    grants=(PREMIUM, LISTED),
    effective=({"feature": "max_devices", "value": 5},),
    payments=(PAYMENT,),
    payment_events=(
        {"payment_ref": "in_1", "amount_minor": 2999},
        {"payment_ref": "in_1", "amount_minor": -2999},
        {"payment_ref": "pi_1", "amount_minor": 2999},
        {"payment_ref": "pi_1", "amount_minor": -1000},
    ),
    audit=(),
)


def test_rows_as_expected_have_no_differences() -> None:
    assert differences(EXPECTED, WELL) == ()


def test_what_was_taken_away_may_leave_a_row() -> None:
    former = {**PREMIUM, "source": "sub_0", "active": False}

    assert differences(EXPECTED, replace(WELL, grants=(*WELL.grants, former))) == ()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"customers": ()}, "customer cus_1 is not linked"),
        ({"subscriptions": ()}, "subscriptions: expected {'sub_1': 'active'}, found {}"),
        ({"purchases": ({"purchase_ref": "pi_9", "status": "paid"},)}, "purchases: expected {}"),
        ({"grants": (LISTED,)}, "no entitlement row for sub_1 under premium"),
        ({"grants": ({**PREMIUM, "active": False}, LISTED)}, "sub_1: expected"),
        ({"grants": ({**PREMIUM, "entitlements": {}}, LISTED)}, "sub_1: expected"),
        ({"grants": (PREMIUM, LISTED, {**PREMIUM, "source": "pi_9"})}, "unexpected grant"),
        ({"effective": ()}, "effective entitlements: expected {'max_devices': 5}, found {}"),
        ({"payments": (), "payment_events": ()}, "payments: expected {'pi_1': {'payment"),
        ({"payments": ({**PAYMENT, "dispute_status": "lost"},)}, "payments: expected"),
        ({"payment_events": ()}, "payment pi_1 holds 1999, but its payment_events add up to 0"),
    ],
)
def test_each_difference_is_named(wrong: dict[str, Any], said: str) -> None:
    assert any(said in complaint for complaint in differences(EXPECTED, replace(WELL, **wrong)))
