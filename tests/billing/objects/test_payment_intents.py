"""The state of a payment intent: success is final, but for a debit that the bank returns."""

import pytest

from billing.facts import Fact
from billing.objects.ordering import order_facts
from billing.objects.payment_intents import IntentState, fold_intent
from billing.rows import PaymentStatus
from tests.billing.fact_builders import at, intent


def state(*facts: Fact) -> IntentState:
    return fold_intent(facts[0].object_key, order_facts(facts))


def failure(seconds: float, charge: str | None = "ch_1") -> Fact:
    return intent("requires_payment_method", seconds, failed=True, latest_charge=charge)


def test_an_intent_brought_its_newest_amount_in_the_second_of_its_first_success() -> None:
    found = state(
        intent("processing", 1, own_created_at=at(0)), intent(seconds=5), intent(seconds=9)
    )

    assert found.collected == (2999, "usd", at(5))
    assert found.granted is not None
    assert (found.granted.since, found.granted.newest.at) == (at(5), at(9))
    assert (found.first_at, found.user_statements.made_at) == (at(0), at(0))
    assert (found.succeeded, found.final) == (True, True)


def test_an_intent_that_only_the_api_showed_succeeded_when_it_was_made() -> None:
    shown = intent(seconds=50, own_created_at=at(2), how={"type_": ""})

    found = state(shown)

    assert found.collected == (2999, "usd", at(2))
    assert found.granted is not None
    assert found.granted.since == at(2)
    assert state(intent(seconds=50, how={"type_": ""})).collected == (2999, "usd", at(50))


def test_the_event_of_a_success_says_its_second_and_not_the_api() -> None:
    shown = intent(seconds=3, own_created_at=at(1), how={"type_": ""})

    assert state(shown, intent(seconds=5)).collected == (2999, "usd", at(5))


@pytest.mark.parametrize(
    ("fact", "money"),
    [
        (intent("requires_capture", 2, amount_received=400), (400, "usd", at(2))),
        (intent("canceled", 2, amount_received=1), (1, "usd", at(2))),
        (intent("requires_capture", 2), None),
        (intent("processing", 2, amount_received=400), None),
    ],
)
def test_what_is_captured_in_part_is_money(fact: Fact, money: object) -> None:
    assert state(fact).collected == money


def test_an_intent_that_was_paid_whole_left_nothing_uncaptured() -> None:
    assert state(intent()).uncaptured == 0
    assert state(intent(amount_received=3000)).uncaptured == 0
    assert state(intent(amount_received=2000)).uncaptured == 999
    assert state(intent("processing")).uncaptured == 0


def test_an_intent_was_paid_by_the_charge_of_its_success() -> None:
    found = state(failure(1, "ch_0"), intent(seconds=2, latest_charge="ch_1"))

    assert found.paid_by == "ch_1"
    assert found.charges == ("ch_0", "ch_1")
    assert found.returned_at is None
    assert state(failure(1)).paid_by is None


def test_an_intent_was_returned_when_the_charge_that_had_succeeded_first_failed() -> None:
    paid = intent(seconds=2, latest_charge="ch_1")

    found = state(paid, failure(5), failure(9))

    assert found.returned_at == at(5)
    assert (found.money, found.collected) == (None, (2999, "usd", at(2)))


def test_a_failure_of_another_attempt_returns_nothing() -> None:
    assert state(intent(seconds=2, latest_charge="ch_1"), failure(5, "ch_2")).returned_at is None
    assert state(intent(seconds=2), failure(5, None)).returned_at is None
    assert state(failure(1), intent(seconds=2, latest_charge="ch_1")).returned_at is None


@pytest.mark.parametrize(
    ("fact", "status", "final"),
    [
        (intent("canceled"), PaymentStatus.CANCELED, True),
        (intent("processing"), PaymentStatus.PENDING, False),
        (failure(0), PaymentStatus.FAILED, False),
    ],
)
def test_an_intent_that_has_not_succeeded_has_a_status(
    fact: Fact, status: PaymentStatus, final: object
) -> None:
    assert (state(fact).status, state(fact).final) == (status, final)
    assert not state(fact).succeeded


def test_an_intent_keeps_what_it_named_once() -> None:
    found = state(
        intent("processing", 1, invoice="in_7", order_reference="in_8"), intent(seconds=2)
    )

    assert (found.invoice, found.order_reference) == ("in_7", "in_8")
    assert (found.id, found.currency, found.as_of) == ("pi_1", "usd", at(2))
