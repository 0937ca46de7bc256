"""The decisions between two sets of rows, and the words the audit has for them."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.ids import (
    CustomerId,
    EventId,
    PaymentRef,
    PlanCode,
    Realm,
    UserId,
)
from billing.rows import (
    CustomerRow,
    EntitlementRow,
    Key,
    PaymentRow,
    PaymentStatus,
    PurchaseRow,
    PurchaseStatus,
    SubscriptionRow,
)
from runtime.ledger.decisions import (
    Decision,
    EntitlementChanged,
    EntitlementGranted,
    EntitlementRevoked,
    MoneyMoved,
    Noted,
    RowDeleted,
    RowUpserted,
)
from runtime.ledger.difference import difference
from runtime.ledger.rows import Row, Rows, TableName, dumps, from_plain, no_rows, to_plain

THEN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 2, 1, tzinfo=UTC)
TEST = Realm("test")

CUSTOMER = CustomerRow(realm=TEST, stripe_customer_id=CustomerId("cus_1"), user_id=UserId("usr_1"))
SUBSCRIPTION = SubscriptionRow(
    realm=TEST,
    stripe_subscription_id="sub_1",
    stripe_customer_id=CustomerId("cus_1"),
    user_id=UserId("usr_1"),
    status="active",
    prices=("price_1",),
    current_period_end=LATER,
    cancel_at_period_end=False,
    as_of=THEN,
)
PURCHASE = PurchaseRow(
    realm=TEST,
    purchase_ref="pi_1",
    user_id=UserId("usr_1"),
    plan_code=PlanCode("premium"),
    price=None,
    status=PurchaseStatus.PAID,
    payment_ref=PaymentRef("pi_1"),
)
PAYMENT = PaymentRow(
    realm=TEST,
    payment_ref=PaymentRef("pi_1"),
    user_id=UserId("usr_1"),
    stripe_customer_id=None,
    amount_minor=2999,
    amount_refunded_minor=0,
    currency="usd",
    status=PaymentStatus.SUCCEEDED,
    dispute_status=None,
    invoice_id=None,
    plan_code=None,
    inferred=False,
    provisional=False,
    occurred_at=THEN,
)
GRANT = EntitlementRow(
    realm=TEST,
    user_id=UserId("usr_1"),
    source="sub_1",
    plan_code=PlanCode("premium"),
    entitlements={"max_devices": 5},
    active=True,
    starts_at=THEN,
    expires_at=None,
    event_id=EventId("evt_1"),
    because="the subscription is active",
)
ALL = (CUSTOMER, SUBSCRIPTION, PURCHASE, PAYMENT, GRANT)
TABLE_OF = dict(zip(map(type, ALL), TableName, strict=True))


def rows(*given: Row | None) -> Rows:
    filled = no_rows()
    for row in given:
        if row is not None:
            filled[TABLE_OF[type(row)]][row.key] = row
    return filled


def decided(before: Row | None, after: Row | None) -> list[Decision]:
    """Return the decisions besides those on the row itself."""
    decisions = difference(rows(before), rows(after))
    return [each for each in decisions if not isinstance(each, RowUpserted | RowDeleted)]


def _line(row: object) -> str:
    assert isinstance(row, PurchaseRow)
    return row.line


def actions(before: Row | None, after: Row | None) -> list[str]:
    return [each.action for each in decided(before, after) if isinstance(each, Noted)]


def money(before: list[PaymentRow], after: list[PaymentRow]) -> list[tuple[str, str, int]]:
    return [
        (each.payment.payment_ref, str(each.movement), each.amount_minor)
        for each in difference(rows(*before), rows(*after))
        if isinstance(each, MoneyMoved)
    ]


def dates(before: list[PaymentRow], after: list[PaymentRow]) -> list[tuple[str, datetime]]:
    return [
        (str(each.movement), each.at)
        for each in difference(rows(*before), rows(*after))
        if isinstance(each, MoneyMoved)
    ]


def test_equal_rows_ask_for_nothing() -> None:
    assert difference(rows(*ALL), rows(*ALL)) == ()


@pytest.mark.parametrize("row", ALL, ids=lambda row: type(row).__name__)
def test_a_row_is_the_same_after_a_stay_in_the_database(row: Row) -> None:

    table = TABLE_OF[type(row)]
    stored = json.loads(dumps({**to_plain(row), "party": "test:cus_1"}))

    assert from_plain(table, stored) == row


def test_numbers_of_any_size_are_written() -> None:
    seats = {"limit": 2**53 * 2**53}

    assert json.loads(dumps(seats)) == seats


def test_a_value_that_no_row_has_is_not_written() -> None:
    with pytest.raises(TypeError, match="object"):
        dumps({"a": object()})


@pytest.mark.parametrize("row", ALL, ids=lambda row: type(row).__name__)
def test_rows_come_change_and_go(row: Row) -> None:
    table, key = TABLE_OF[type(row)], row.key

    assert RowUpserted(table=table, row=row) in difference(rows(), rows(row))
    assert RowDeleted(table=table, key=key) in difference(rows(row), rows())


class TestEntitlements:
    ended = replace(GRANT, active=False, expires_at=LATER)

    def test_what_was_not_in_force_is_granted(self) -> None:
        assert decided(None, GRANT) == [EntitlementGranted(before=None, after=GRANT)]
        assert decided(self.ended, GRANT) == [EntitlementGranted(before=self.ended, after=GRANT)]

    def test_what_is_no_longer_in_force_is_revoked(self) -> None:
        assert decided(GRANT, self.ended) == [EntitlementRevoked(before=GRANT, after=self.ended)]
        assert decided(GRANT, None) == [EntitlementRevoked(before=GRANT, after=None)]

    @pytest.mark.parametrize(
        "change", [{"expires_at": LATER}, {"entitlements": {"max_devices": 6}}]
    )
    def test_what_is_worth_something_else_is_changed(self, change: dict[str, Any]) -> None:
        after = replace(GRANT, **change)

        assert decided(GRANT, after) == [EntitlementChanged(before=GRANT, after=after)]

    @pytest.mark.parametrize("after", [ended, replace(GRANT, expires_at=LATER), None])
    def test_the_grant_before_has_the_version_of_its_plans(self, after: Any) -> None:
        [decision] = [
            each
            for each in difference(rows(GRANT), rows(*filter(None, [after])), {GRANT.key: 3})
            if isinstance(each, EntitlementRevoked | EntitlementChanged)
        ]

        assert (decision.before, decision.before_version) == (GRANT, 3)

    def test_a_new_reason_for_the_same_is_no_change(self) -> None:
        assert decided(GRANT, replace(GRANT, event_id=EventId("evt_2"), because="still")) == []

    def test_what_had_ended_before_anyone_knew_of_it_is_only_written_down(self) -> None:
        assert decided(None, self.ended) == []
        assert decided(self.ended, None) == []

    def test_a_source_with_a_new_name_goes_on(self) -> None:
        renamed = replace(GRANT, source="pi_1")

        assert decided(GRANT, renamed) == [EntitlementChanged(before=GRANT, after=renamed)]

    def test_two_rows_that_vanish_and_one_that_comes_are_a_renaming_and_an_end(self) -> None:
        second, renamed = replace(GRANT, source="sub_2"), replace(GRANT, source="pi_1")
        decisions = difference(rows(GRANT, second), rows(renamed))

        assert sorted(type(each).__name__ for each in decisions) == [
            *("EntitlementChanged", "EntitlementRevoked"),
            *("RowDeleted", "RowDeleted", "RowUpserted"),
        ]


class TestMoney:
    refunded = replace(PAYMENT, amount_refunded_minor=1000)
    bill = replace(PAYMENT, payment_ref=PaymentRef("in_1"), provisional=True)

    def test_a_payment_that_succeeds_is_received(self) -> None:
        pending = replace(PAYMENT, amount_minor=0, status=PaymentStatus.PENDING)

        assert money([], [PAYMENT]) == [("pi_1", "received", 2999)]
        assert money([pending], [PAYMENT]) == [("pi_1", "received", 2999)]

    def test_a_payment_that_is_pending_moves_nothing(self) -> None:
        assert money([], [replace(PAYMENT, amount_minor=0, status=PaymentStatus.PENDING)]) == []

    def test_money_that_goes_back_is_negative(self) -> None:
        assert money([PAYMENT], [self.refunded]) == [("pi_1", "refunded", -1000)]

    def test_a_refund_that_failed_comes_back(self) -> None:
        assert money([self.refunded], [PAYMENT]) == [("pi_1", "refund_reversed", 1000)]

    def test_a_payment_first_seen_refunded_was_received_and_refunded(self) -> None:
        assert money([], [self.refunded]) == [
            ("pi_1", "received", 2999),
            ("pi_1", "refunded", -1000),
        ]

    def test_money_that_finds_its_own_name_is_moved_and_not_received_twice(self) -> None:
        assert money([self.bill], [PAYMENT]) == [("in_1", "moved", -2999), ("pi_1", "moved", 2999)]

    def test_the_smallest_amount_is_moved_too(self) -> None:
        cent = replace(PAYMENT, amount_minor=1)
        bill = replace(self.bill, amount_minor=1)

        assert money([bill], [cent]) == [("in_1", "moved", -1), ("pi_1", "moved", 1)]

    def test_what_the_new_name_has_beyond_the_old_is_received(self) -> None:
        part = replace(self.bill, amount_minor=1000)

        assert money([part], [PAYMENT]) == [
            ("in_1", "moved", -1000),
            ("pi_1", "moved", 1000),
            ("pi_1", "received", 1999),
        ]

    def test_a_refund_moves_with_its_payment(self) -> None:
        bill = replace(self.bill, amount_refunded_minor=1000)

        assert money([bill], [self.refunded]) == [
            ("in_1", "moved", -2999),
            ("in_1", "moved", 1000),
            ("pi_1", "moved", 2999),
            ("pi_1", "moved", -1000),
        ]

    def test_a_bill_that_is_covered_in_part_keeps_the_rest(self) -> None:
        rest = replace(self.bill, amount_minor=2000)
        part = replace(PAYMENT, amount_minor=999)

        assert money([self.bill], [rest, part]) == [("in_1", "moved", -999), ("pi_1", "moved", 999)]

    def test_money_of_one_currency_never_becomes_money_of_another(self) -> None:
        euros = replace(PAYMENT, currency="eur")

        assert money([PAYMENT], [euros]) == [
            ("pi_1", "received", -2999),
            ("pi_1", "received", 2999),
        ]

    def test_a_debit_that_the_bank_returned_is_received_no_more(self) -> None:
        returned = replace(PAYMENT, amount_minor=0, status=PaymentStatus.FAILED, changed_at=LATER)

        assert money([PAYMENT], [returned]) == [("pi_1", "received", -2999)]
        assert money([], [returned]) == []

    def test_a_row_that_goes_with_its_refund_and_has_no_successor_takes_both_back(self) -> None:
        assert money([self.refunded], []) == [
            ("pi_1", "received", -2999),
            ("pi_1", "refund_reversed", 1000),
        ]

    def test_money_is_dated_by_its_own_second(self) -> None:
        refunded = replace(self.refunded, changed_at=LATER)
        returned = replace(PAYMENT, amount_minor=0, changed_at=LATER)

        assert dates([], [refunded]) == [("received", THEN), ("refunded", LATER)]
        assert dates([refunded], [replace(PAYMENT, changed_at=LATER)]) == [
            ("refund_reversed", LATER)
        ]
        assert dates([PAYMENT], [returned]) == [("received", LATER)]

    def test_each_refund_is_dated_by_its_own_second(self) -> None:
        both = ((THEN, 400), (LATER, 600))
        first = replace(self.refunded, amount_refunded_minor=400, refunds=both[:1])
        second = replace(self.refunded, refunds=both, changed_at=LATER)
        known_last = replace(first, amount_refunded_minor=600)

        assert dates([], [second])[1:] == [("refunded", THEN), ("refunded", LATER)]
        assert money([PAYMENT], [second]) == [
            ("pi_1", "refunded", -400),
            ("pi_1", "refunded", -600),
        ]
        assert dates([first], [second]) == [("refunded", LATER)]
        assert dates([known_last], [second]) == [("refunded", THEN)]
        equal = replace(second, refunds=((THEN, 500), (LATER, 500)))
        assert dates([replace(first, amount_refunded_minor=500)], [equal]) == [("refunded", LATER)]

    def test_what_moves_leaves_a_row_in_the_second_in_which_it_was_booked(self) -> None:
        known = replace(PAYMENT, occurred_at=LATER)

        assert dates([self.bill], [known]) == [("moved", THEN), ("moved", LATER)]

    def test_what_moves_to_another_user_leaves_and_enters_in_the_same_seconds(self) -> None:
        moved = replace(self.refunded, user_id=UserId("usr_2"), changed_at=LATER)

        assert dates([self.refunded], [moved]) == [
            *(("moved", THEN), ("moved", LATER)),
            *(("moved", THEN), ("moved", LATER)),
        ]

    @pytest.mark.parametrize("before_it_was_known", [None, UserId("usr_2")])
    def test_money_moves_with_its_user(self, before_it_was_known: UserId | None) -> None:
        unowned = replace(self.refunded, user_id=before_it_was_known)
        decisions = difference(rows(unowned), rows(self.refunded))

        booked = [each for each in decisions if isinstance(each, MoneyMoved)]

        assert {str(each.movement) for each in booked} == {"moved"}
        for row, sign in ((unowned, -1), (self.refunded, 1)):
            mine = [each.amount_minor for each in booked if each.payment.user_id == row.user_id]
            assert sum(mine) == sign * _left(row)

    def test_every_history_sums_to_its_row(self) -> None:
        states = [None, PAYMENT, self.refunded, replace(self.refunded, amount_minor=500)]
        for before in states:
            for after in states:
                moved = money([before] if before else [], [after] if after else [])
                assert sum(each[2] for each in moved) == _left(after) - _left(before)


def _left(row: PaymentRow | None) -> int:
    return row.amount_minor - row.amount_refunded_minor if row else 0


class TestNotes:
    @pytest.mark.parametrize(
        ("before", "after", "action"),
        [
            (None, CUSTOMER, "customer.linked"),
            (replace(CUSTOMER, user_id=None), CUSTOMER, "customer.linked"),
            (CUSTOMER, replace(CUSTOMER, user_id=UserId("usr_2")), "customer.moved"),
            (CUSTOMER, replace(CUSTOMER, user_id=None), "customer.unlinked"),
            (CUSTOMER, None, "customer.unlinked"),
            (None, SUBSCRIPTION, "subscription.changed"),
            (SUBSCRIPTION, replace(SUBSCRIPTION, status="past_due"), "subscription.changed"),
            (SUBSCRIPTION, None, "subscription.removed"),
            (None, PURCHASE, "purchase.paid"),
            (replace(PURCHASE, status=PurchaseStatus.PENDING), PURCHASE, "purchase.paid"),
            (replace(PURCHASE, purchase_ref="cs_1"), PURCHASE, "purchase.renamed"),
            (PURCHASE, replace(PURCHASE, price="price_1"), "purchase.changed"),
            (PURCHASE, None, "purchase.removed"),
            (PAYMENT, replace(PAYMENT, dispute_status="lost"), "payment.disputed"),
            (PAYMENT, replace(PAYMENT, user_id=UserId("usr_2")), "payment.reassigned"),
            (PAYMENT, None, "payment.removed"),
            (
                None,
                replace(PAYMENT, amount_minor=0, status=PaymentStatus.FAILED),
                "payment.failed",
            ),
            (
                replace(PAYMENT, amount_minor=0, status=PaymentStatus.PENDING),
                replace(PAYMENT, amount_minor=0, status=PaymentStatus.CANCELED),
                "payment.canceled",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_an_auditor_wants_to_read_of(
        self, before: Row | None, after: Row | None, action: str
    ) -> None:
        assert actions(before, after) == [action]

    def test_two_lines_of_one_plan_that_are_renamed_keep_their_lines(self) -> None:
        def lines(ref: str, *names: str) -> list[PurchaseRow]:
            return [replace(PURCHASE, purchase_ref=ref, line=name) for name in names]

        decisions = difference(rows(*lines("cs_1", "ii_1", "ii_2")), rows(*lines("pi_1", "ii_2")))
        decisions += difference(rows(*lines("cs_1", "ii_1", "ii_2")), rows(*lines("pi_1", "ii_1")))
        decisions += difference(
            rows(*lines("cs_1", "ii_1", "ii_2", "ii_3")),
            rows(*lines("pi_1", "ii_1", "ii_2", "ii_3")),
        )

        audited = [each for each in decisions if isinstance(each, Noted)]
        renamed = [each for each in audited if each.action == "purchase.renamed"]
        assert len(audited) == len(renamed) + 2
        assert [_line(each.before) for each in renamed] == [_line(each.after) for each in renamed]
        assert [_line(each.after) for each in renamed] == ["ii_2", "ii_1", "ii_1", "ii_2", "ii_3"]

    def test_a_checkout_whose_line_is_known_later_is_renamed(self) -> None:
        unlisted = replace(PURCHASE, purchase_ref="cs_1")

        assert actions(unlisted, replace(PURCHASE, line="ii_1")) == ["purchase.renamed"]

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (None, replace(CUSTOMER, user_id=None)),
            (SUBSCRIPTION, replace(SUBSCRIPTION, as_of=LATER)),
            (PAYMENT, replace(PAYMENT, invoice_id="in_1")),
            (None, PAYMENT),
        ],
    )
    def test_what_goes_without_saying(self, before: Row | None, after: Row | None) -> None:
        assert actions(before, after) == []


def test_every_table_has_a_row_type_and_a_key() -> None:
    keys: list[Key] = [row.key for row in ALL]

    assert len(TABLE_OF) == len(TableName)
    assert all(keys)
