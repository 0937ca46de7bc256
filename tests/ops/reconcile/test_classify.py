"""The table of docs/reconcile.md, row by row, and how objects and rows make a difference."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.ids import CustomerId, EventId, PaymentRef, PlanCode, Realm, UserId
from billing.rows import (
    CustomerRow,
    EntitlementRow,
    PaymentRow,
    PaymentStatus,
    PurchaseRow,
    PurchaseStatus,
    SubscriptionRow,
)
from ops.reconcile.classify import (
    COMPARED,
    ObjectChange,
    RowChange,
    classify,
    differences_in,
    keys_in,
    net_changes,
)
from ops.reconcile.differences import DifferenceClass
from runtime.ledger.decisions import Decision, RowDeleted, RowUpserted
from runtime.ledger.rows import ROW_TYPES, Row, TableName

REALM = Realm("live")
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
TABLES = {row_type: table for table, row_type in ROW_TYPES.items()}

CUSTOMER = CustomerRow(
    realm=REALM, stripe_customer_id=CustomerId("cus_1"), user_id=UserId("user_1")
)
SUBSCRIPTION = SubscriptionRow(
    realm=REALM,
    stripe_subscription_id="sub_1",
    stripe_customer_id=CustomerId("cus_1"),
    user_id=UserId("user_1"),
    status="active",
    prices=("price_basic",),
    current_period_end=NOON,
    cancel_at_period_end=False,
    as_of=NOON,
)
PURCHASE = PurchaseRow(
    realm=REALM,
    purchase_ref="pi_1",
    user_id=UserId("user_1"),
    plan_code=PlanCode("basic"),
    price="price_basic",
    status=PurchaseStatus.PAID,
    payment_ref=PaymentRef("pi_1"),
    line="il_1",
)
PAYMENT = PaymentRow(
    realm=REALM,
    payment_ref=PaymentRef("pi_1"),
    user_id=UserId("user_1"),
    stripe_customer_id=CustomerId("cus_1"),
    amount_minor=900,
    amount_refunded_minor=0,
    currency="eur",
    status=PaymentStatus.SUCCEEDED,
    dispute_status=None,
    invoice_id=None,
    plan_code=PlanCode("basic"),
    inferred=False,
    provisional=False,
    occurred_at=NOON,
)
ACCESS = EntitlementRow(
    realm=REALM,
    user_id=UserId("user_1"),
    source="sub_1",
    plan_code=PlanCode("basic"),
    entitlements={"devices": 1},
    active=True,
    starts_at=NOON,
    expires_at=None,
    event_id=EventId("evt_1"),
    because="active",
)
NO_ACCESS = replace(ACCESS, active=False)
LATER = NOON + timedelta(days=30)


def changed(before: Row | None, after: Row | None) -> RowChange:
    row = before or after
    assert row is not None
    return RowChange(table=TABLES[type(row)], before=before, after=after)


def with_(row: Row, **values: Any) -> RowChange:
    return changed(row, replace(row, **values))


def test_a_row_equal_in_each_compared_column_is_no_difference() -> None:
    listed = (
        replace(SUBSCRIPTION, as_of=LATER),
        replace(PAYMENT, inferred=True, invoice_id="in_1", provisional=True),
        replace(ACCESS, event_id=EventId("obs_sub_1_1"), because="it was asked", starts_at=LATER),
    )
    stored: tuple[Row, ...] = (SUBSCRIPTION, PAYMENT, ACCESS)

    assert differences_in([shown("subscription", "sub_1", *listed)], rows(*stored)) == ()


@pytest.mark.parametrize(
    ("changes", "classed"),
    [
        ([changed(None, ACCESS)], DifferenceClass.PAID_NOT_GRANTED),
        ([changed(NO_ACCESS, ACCESS)], DifferenceClass.PAID_NOT_GRANTED),
        (
            [changed(None, SUBSCRIPTION), changed(None, ACCESS), changed(None, PAYMENT)],
            DifferenceClass.PAID_NOT_GRANTED,
        ),
        (
            [with_(SUBSCRIPTION, status="canceled"), changed(ACCESS, NO_ACCESS)],
            DifferenceClass.GRANTED_NOT_PAID,
        ),
        ([changed(ACCESS, None)], DifferenceClass.GRANTED_NOT_PAID),
        (
            [with_(PAYMENT, amount_refunded_minor=900), changed(ACCESS, NO_ACCESS)],
            DifferenceClass.GRANTED_NOT_PAID,
        ),
        ([with_(PAYMENT, amount_refunded_minor=100)], DifferenceClass.AMOUNTS),
        ([with_(PAYMENT, amount_minor=901)], DifferenceClass.AMOUNTS),
        ([with_(PAYMENT, currency="usd")], DifferenceClass.AMOUNTS),
        ([changed(None, PAYMENT)], DifferenceClass.MISSING_HERE),
        ([changed(None, SUBSCRIPTION)], DifferenceClass.MISSING_HERE),
        (
            [
                changed(replace(PAYMENT, payment_ref=PaymentRef("in_1"), provisional=True), None),
                changed(None, PAYMENT),
            ],
            DifferenceClass.MISSING_HERE,
        ),
        (
            [with_(SUBSCRIPTION, status="past_due"), with_(ACCESS, expires_at=LATER)],
            DifferenceClass.OTHER_STATUS,
        ),
        ([with_(PAYMENT, dispute_status="needs_response")], DifferenceClass.OTHER_STATUS),
        (
            [
                with_(SUBSCRIPTION, prices=("price_pro",)),
                changed(ACCESS, NO_ACCESS),
                changed(None, replace(ACCESS, plan_code=PlanCode("pro"))),
            ],
            DifferenceClass.OTHER_PRICE,
        ),
        ([with_(PURCHASE, quantity=2)], DifferenceClass.OTHER_PRICE),
        ([with_(SUBSCRIPTION, current_period_end=LATER)], DifferenceClass.OTHER_PERIOD),
        ([with_(PURCHASE, ends_at=LATER)], DifferenceClass.OTHER_PERIOD),
        (
            [
                with_(CUSTOMER, user_id=UserId("user_2")),
                changed(ACCESS, None),
                changed(None, replace(ACCESS, user_id=UserId("user_2"))),
            ],
            DifferenceClass.OTHER_USER,
        ),
        (
            [
                with_(CUSTOMER, user_id=UserId("user_2")),
                *(changed(replace(ACCESS, plan_code=PlanCode(each)), None) for each in "ab"),
                *(
                    changed(
                        None,
                        replace(ACCESS, plan_code=PlanCode(each), user_id=UserId("user_2")),
                    )
                    for each in "ab"
                ),
            ],
            DifferenceClass.OTHER_USER,
        ),
        (
            [with_(SUBSCRIPTION, cancel_at_period_end=True), with_(ACCESS, expires_at=LATER)],
            DifferenceClass.STALE_HERE,
        ),
        ([with_(PAYMENT, occurred_at=LATER)], DifferenceClass.STALE_HERE),
    ],
)
def test_a_difference_is_of_the_first_class_that_fits(
    changes: list[RowChange], classed: DifferenceClass
) -> None:
    assert classify(changes) is classed


def test_what_stripe_knows_no_longer_is_unknown_there_whatever_follows_from_it() -> None:
    gone = ObjectChange(name=("subscription", "sub_1"), gone=True, decisions=(*written(NO_ACCESS),))

    (found,) = differences_in([gone], rows(ACCESS))

    assert (found.classed, found.name[1]) == (DifferenceClass.UNKNOWN_THERE, "sub_1")


def test_a_payment_that_stripe_does_not_know_differs_though_no_row_follows_from_that() -> None:
    gone = ObjectChange(name=("payment_intent", "pi_1"), gone=True, decisions=())

    (found,) = differences_in([gone], {}, running=frozenset({"pi_1"}))

    assert found.classed is DifferenceClass.UNKNOWN_THERE
    assert differences_in([gone], {}) == ()


def test_objects_that_change_one_row_are_one_difference_named_by_the_row() -> None:
    paid = replace(PAYMENT, occurred_at=LATER)
    objects = [
        shown("charge", "ch_1", PAYMENT),
        shown("payment_intent", "pi_1", paid),
        shown("subscription", "sub_1", replace(SUBSCRIPTION, current_period_end=LATER)),
    ]

    found = differences_in(objects, rows(SUBSCRIPTION))

    assert [each.name for each in found] == [("payment", "pi_1"), ("subscription", "sub_1")]
    assert found[0].objects == (("charge", "ch_1"), ("payment_intent", "pi_1"))
    assert found[0].theirs["payments pi_1"] == {
        name: getattr(paid, name)
        for name in COMPARED[TableName.PAYMENTS]
        if name != "dispute_status"
    }
    assert (found[0].ours, found[1].ours) == (
        {"payments pi_1": None},
        {"subscriptions sub_1": {"current_period_end": NOON}},
    )
    assert found[0].row_names == {"pi_1"}


def test_objects_join_when_a_later_one_changes_the_rows_of_both() -> None:
    objects = [
        shown("payment_intent", "pi_1", PAYMENT),
        shown("subscription", "sub_1", SUBSCRIPTION),
        shown("checkout.session", "cs_1", PAYMENT, SUBSCRIPTION),
    ]

    (found,) = differences_in(objects, {})

    assert found.name == ("subscription", "sub_1")
    assert len(found.objects) == 3


def test_a_customer_that_alone_moves_everything_names_the_difference() -> None:
    moved = UserId("user_2")
    objects = [
        shown(
            "customer",
            "cus_1",
            replace(CUSTOMER, user_id=moved),
            replace(SUBSCRIPTION, user_id=moved),
            replace(PAYMENT, user_id=moved),
        )
    ]

    (found,) = differences_in(objects, rows(CUSTOMER, SUBSCRIPTION, PAYMENT))

    assert (found.name, found.classed) == (("customer", "cus_1"), DifferenceClass.OTHER_USER)
    assert found.users == {"user_1", "user_2"}
    assert (found.user_id, found.customer_id) == ("user_1", "cus_1")


def test_a_change_that_a_later_object_undoes_is_none() -> None:
    provisional = replace(PAYMENT, payment_ref=PaymentRef("in_1"), provisional=True)
    came_and_went = [
        shown("invoice", "in_1", provisional),
        ObjectChange(
            name=("payment_intent", "pi_1"),
            gone=False,
            decisions=(RowDeleted(table=TableName.PAYMENTS, key=provisional.key),),
        ),
    ]

    assert list(net_changes(came_and_went, {})) == []
    assert keys_in(came_and_went) == {(TableName.PAYMENTS, provisional.key)}


def test_a_purchase_that_only_gets_its_line_is_no_difference() -> None:
    unnamed = replace(PURCHASE, line="")
    renamed = ObjectChange(
        name=("checkout.session", "cs_1"),
        gone=False,
        decisions=(RowDeleted(table=TableName.PURCHASES, key=unnamed.key), *written(PURCHASE)),
    )

    assert differences_in([renamed], rows(unnamed)) == ()
    assert len(differences_in([renamed], rows(replace(unnamed, quantity=2)))) == 1


def test_access_that_only_moves_to_another_source_is_no_difference() -> None:
    moved = replace(ACCESS, source="pi_1")
    renamed = ObjectChange(
        name=("payment_intent", "pi_1"),
        gone=False,
        decisions=(RowDeleted(table=TableName.ENTITLEMENTS, key=ACCESS.key), *written(moved)),
    )

    assert differences_in([renamed], rows(ACCESS)) == ()


def test_access_that_is_over_on_both_sides_is_no_difference() -> None:
    past = shown("subscription", "sub_1", replace(NO_ACCESS, expires_at=LATER))

    assert differences_in([past], rows(NO_ACCESS)) == ()


def test_a_customer_without_user_is_no_difference() -> None:
    unnamed = shown("customer", "cus_1", replace(CUSTOMER, user_id=None))

    assert differences_in([unnamed], {}) == ()


def shown(family: str, stripe_id: str, *after: Row) -> ObjectChange:
    return ObjectChange(name=(family, stripe_id), gone=False, decisions=(*written(*after),))


def written(*after: Row) -> list[Decision]:
    return [RowUpserted(table=TABLES[type(row)], row=row) for row in after]


def rows(*stored: Row) -> Mapping[tuple[TableName, tuple[str, ...]], Row]:
    return {(TABLES[type(row)], row.key): row for row in stored}
