"""The states of a charge, a refund and a dispute."""

from typing import Any

import pytest

from billing.facts import Fact, Rank
from billing.objects.charges import (
    ChargeState,
    DisputeState,
    RefundState,
    fold_charge,
    fold_dispute,
    fold_refund,
)
from billing.objects.ordering import order_facts
from billing.rows import PaymentStatus
from tests.billing.fact_builders import at, charge, dispute, refund


def state(*facts: Fact) -> ChargeState:
    return fold_charge(facts[0].object_key, order_facts(facts))


def refund_state(*facts: Fact) -> RefundState:
    return fold_refund(facts[0].object_key, order_facts(facts))


def dispute_state(*facts: Fact) -> DisputeState:
    return fold_dispute(facts[0].object_key, order_facts(facts))


def authorized(seconds: float = 0, refunded: int = 0, **fields: Any) -> Fact:
    return charge(seconds, captured=False, amount_captured=0, amount_refunded=refunded, **fields)


def test_a_charge_brought_its_newest_amount_in_the_second_in_which_it_was_made() -> None:
    found = state(charge(5, amount_captured=100), charge(9, own_created_at=at(2)))

    assert found.collected == (2999, "usd", at(2))
    assert found.granted is not None
    assert (found.granted.since, found.granted.newest.at) == (at(2), at(9))
    assert found.first_at == at(2)
    assert found.user_statements.made_at == at(2)


def test_a_charge_without_a_second_of_its_own_brought_its_money_with_the_first_success() -> None:
    found = state(charge(3, status="pending"), charge(5), charge(9))

    assert found.money == (2999, "usd", at(5))
    assert found.granted is not None
    assert found.granted.since == at(5)
    assert found.first_at == at(3)


def test_a_charge_was_captured_with_the_first_event_that_says_so() -> None:
    captured = {"type_": "charge.captured"}
    found = state(authorized(1), charge(8, how=captured), charge(6, how=captured), charge(9))

    assert found.captured_at == at(6)
    assert state(charge(6)).captured_at is None


@pytest.mark.parametrize(
    ("facts", "released"),
    [
        ([authorized()], False),
        ([authorized(), authorized(1, refunded=2999)], True),
        ([authorized(), authorized(1, refunded=2998)], False),
        ([authorized(), authorized(1, refunded_in_full=True)], True),
        ([charge(amount_refunded=2999)], False),
        ([charge(status="failed", captured=False, amount_captured=0, amount=0)], False),
    ],
)
def test_only_an_authorisation_without_any_capture_is_released(
    facts: list[Fact], released: object
) -> None:
    assert state(*facts).released_whole is released


def test_an_authorisation_brings_no_money_and_gives_none_back() -> None:
    found = state(authorized(), authorized(1, refunded=2999))

    assert (found.collected, found.granted, found.refunded) == (None, None, 0)
    assert found.status is PaymentStatus.PENDING


def test_what_is_captured_in_part_is_money_before_the_charge_is_captured() -> None:
    assert state(charge(2, captured=False, amount_captured=400)).money == (400, "usd", at(2))


def test_a_charge_that_failed_after_its_success_was_returned_since_then() -> None:
    found = state(charge(1), charge(5, status="failed"), charge(9, status="failed"))

    assert (found.failed_at, found.returned_at) == (at(5), at(5))
    assert found.collected is not None
    assert found.money is None


def test_a_charge_that_failed_at_once_returned_nothing() -> None:
    found = state(charge(5, status="failed"))

    assert (found.failed_at, found.returned_at) == (at(5), None)
    assert found.status is PaymentStatus.FAILED


def test_a_failure_before_success_is_over() -> None:
    found = state(charge(1, status="failed"), charge(5))

    assert (found.failed_at, found.returned_at) == (None, None)


def test_the_event_that_brought_the_running_total_to_its_value_is_the_first_with_it() -> None:
    totals = [
        charge(1, amount_refunded=0),
        charge(2, amount_refunded=500),
        charge(3, amount_refunded=500),
    ]

    found = state(*totals)

    assert (found.refunded, found.refunded_as_of) == (500, at(3))
    assert found.refunded_by.at == at(2)


def test_a_charge_keeps_what_it_named_once() -> None:
    named = charge(1, payment_intent="pi_7", invoice="in_7", order_reference="in_8")

    found = state(named, charge(2, payment_intent=None))

    assert (found.payment_intent, found.invoice) == ("pi_7", "in_7")
    assert found.order_reference == "in_8"
    assert (found.id, found.currency, found.authorized) == ("ch_1", "usd", 2999)
    assert found.as_of == at(2)


def test_a_refund_was_made_in_its_own_second_else_in_that_of_its_creation() -> None:
    created = refund(seconds=4, rank=Rank.CREATED)

    assert refund_state(created, refund(seconds=6, made=2)).created_at == at(2)
    assert refund_state(created, refund(seconds=6)).created_at == at(4)
    assert refund_state(refund(seconds=6)).created_at is None
    assert refund_state(refund(seconds=6)).first_at == at(6)


def test_a_refund_has_been_failed_since_the_first_of_its_last_failures() -> None:
    facts = [
        refund("failed", 1),
        refund("pending", 2),
        refund("failed", 3),
        refund("canceled", 4),
    ]

    assert refund_state(*facts).failed_at == at(3)
    assert refund_state(*facts[:2]).failed_at is None
    assert refund_state(*facts[:2]).pending


@pytest.mark.parametrize(
    ("status", "lost", "won", "is_open"),
    [
        ("lost", True, False, False),
        ("won", False, True, False),
        ("needs_response", False, False, True),
        ("brand_new", False, False, True),
        ("warning_closed", False, False, False),
    ],
)
def test_a_dispute_is_lost_won_open_or_without_consequence(
    status: str, *, lost: bool, won: bool, is_open: bool
) -> None:
    found = dispute_state(dispute(status, 5, opened=2))

    assert (found.lost, found.won, found.open) == (lost, won, is_open)
    assert (found.id, found.charge, found.payment_intent) == ("dp_1", "ch_1", "pi_1")
    assert (found.opened_at, found.amount, found.currency) == (at(2), 2999, "usd")
