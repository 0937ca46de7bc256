"""The history sums to the true payments, even if rows were altered."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.ids import PaymentRef, Realm, UserId
from billing.rows import PaymentRow, PaymentStatus
from runtime.ledger.decisions import MovementKind
from runtime.ledger.maintenance.repair import Owner, money_to_book

TRUE = PaymentRow(
    realm=Realm("test"),
    payment_ref=PaymentRef("pi_1"),
    user_id=UserId("usr_1"),
    stripe_customer_id=None,
    amount_minor=2000,
    amount_refunded_minor=500,
    currency="usd",
    status=PaymentStatus.SUCCEEDED,
    dispute_status=None,
    invoice_id=None,
    plan_code=None,
    inferred=False,
    provisional=False,
    occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
)
ADA, BOB = Owner(UserId("usr_1"), "usd"), Owner(UserId("usr_2"), "usd")


def money_after(
    before: PaymentRow | None, after: PaymentRow | None, history: dict[Owner, int]
) -> Any:
    old, new = ({row.key: row} if row else {} for row in (before, after))
    return money_to_book(old, new, {key: history for key in old | new if history})


def after(history: dict[Owner, int], moves: Any) -> dict[Owner, int]:
    sums = Counter(history)
    for each in moves:
        sums[Owner(each.payment.user_id, each.payment.currency)] += each.amount_minor
    return {owner: amount for owner, amount in sums.items() if amount}


@pytest.mark.parametrize(
    "altered",
    [
        TRUE,
        None,
        replace(TRUE, amount_minor=1),
        replace(TRUE, amount_refunded_minor=0),
        replace(TRUE, user_id=UserId("usr_2")),
        replace(TRUE, currency="eur"),
        replace(TRUE, status=PaymentStatus.FAILED),
    ],
)
def test_a_row_altered_from_outside_books_nothing(altered: PaymentRow | None) -> None:
    assert money_after(altered, TRUE, {ADA: 1500}) == []


@pytest.mark.parametrize("before", [None, TRUE, replace(TRUE, user_id=None)])
@pytest.mark.parametrize("now", [None, TRUE, replace(TRUE, amount_minor=100)])
@pytest.mark.parametrize("history", [{}, {ADA: 1500}, {ADA: 9, BOB: -4}, {Owner(None, "usd"): 1}])
def test_any_history_comes_to_sum_to_the_row(
    before: PaymentRow | None, now: PaymentRow | None, history: dict[Owner, int]
) -> None:
    if before is None and now is None:
        return
    owed = {ADA: now.amount_minor - now.amount_refunded_minor} if now else {}

    assert after(history, money_after(before, now, history)) == owed


def test_what_facts_changed_is_booked_as_what_it_is() -> None:
    (move,) = money_after(replace(TRUE, amount_refunded_minor=0), TRUE, {ADA: 2000})

    assert (move.movement, move.amount_minor) == (MovementKind.REFUNDED, -500)
