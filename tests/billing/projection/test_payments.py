"""One payment is one payment, however many events describe it."""

from itertools import permutations
from typing import Any

import pytest

from billing.facts import Fact, Rank
from billing.rows import PaymentStatus
from tests.billing.fact_builders import (
    amounts,
    at,
    charge,
    checkout,
    customer,
    dispute,
    intent,
    invoice,
    invoice_payment,
    line,
    only_payment,
    open_invoice,
    project_facts,
    refund,
    subscribed,
    subscription,
)

KNOWN = customer("usr_1")


def test_intent_charge_session_and_invoice_are_one_payment() -> None:
    facts = [
        KNOWN,
        checkout(invoice="in_1"),
        intent(seconds=1),
        charge(),
        invoice(2),
        invoice_payment(3),
    ]

    for some in permutations(facts, 4):
        assert sum(amount for amount, _ in amounts(project_facts(some)).values()) in (0, 2999)
    row = only_payment(project_facts(facts))
    assert (row.payment_ref, row.amount_minor, row.currency) == ("pi_1", 2999, "usd")
    assert (row.status, row.invoice_id) == (PaymentStatus.SUCCEEDED, "in_1")
    assert (row.user_id, row.stripe_customer_id) == ("usr_1", "cus_1")
    assert (row.plan_code, row.occurred_at) == ("premium", at(0))
    assert (row.inferred, row.provisional, row.dispute_status) == (False, False, None)


def test_a_checkout_alone_is_a_payment() -> None:
    row = only_payment(project_facts(checkout(5)))

    assert (row.payment_ref, row.amount_minor, row.status) == ("pi_1", 2999, "succeeded")
    assert (row.user_id, row.plan_code, row.provisional) == ("usr_1", "premium", False)
    assert row.occurred_at == at(5)


def test_a_charge_without_intent_is_a_payment_of_its_own() -> None:
    assert amounts(project_facts(charge(payment_intent=None))) == {"ch_1": (2999, 0)}


def test_a_charge_is_known_to_be_of_an_intent_by_any_object_that_says_so() -> None:
    alone = charge(payment_intent=None)

    assert amounts(project_facts(alone, refund("pending"))) == {"pi_1": (2999, 0)}
    assert amounts(project_facts(alone, dispute("won"))) == {"pi_1": (2999, 0)}


def test_a_payment_record_is_known_by_its_invoice_payment_of_the_invoice() -> None:
    row = only_payment(project_facts(KNOWN, invoice_payment(paid_by="pyr_1"), invoice()))

    assert (row.payment_ref, row.amount_minor, row.invoice_id) == ("pyr_1", 2999, "in_1")
    assert row.stripe_customer_id == "cus_1"


@pytest.mark.parametrize(
    ("fact", "status"),
    [
        (intent("requires_payment_method"), PaymentStatus.PENDING),
        (intent("processing"), PaymentStatus.PENDING),
        (intent("requires_capture"), PaymentStatus.PENDING),
        (intent("brand_new"), PaymentStatus.PENDING),
        (intent("requires_payment_method", failed=True), PaymentStatus.FAILED),
        (intent("canceled", failed=True), PaymentStatus.CANCELED),
        (charge(status="pending", captured=False), PaymentStatus.PENDING),
        (charge(status="failed", captured=False), PaymentStatus.FAILED),
        (refund("pending"), PaymentStatus.PENDING),
        (dispute("needs_response"), PaymentStatus.PENDING),
    ],
)
def test_nothing_was_received_before_a_payment_succeeds(fact: Fact, status: PaymentStatus) -> None:
    row = only_payment(project_facts(fact))

    assert (row.amount_minor, row.status, row.currency) == (0, status, "usd")
    assert row.occurred_at == at(0)


def test_an_intent_that_is_only_named_is_no_payment_yet() -> None:
    assert not project_facts(open_invoice(payment_refs=("pi_1",))).payments
    assert not project_facts(checkout(payment_status="unpaid")).payments
    assert not project_facts(invoice_payment(0, 0, status="open")).payments


FAILED: dict[str, Any] = {"status": "failed", "captured": False, "amount_captured": 0}


@pytest.mark.parametrize(
    ("attempt", "status"),
    [
        (intent("processing", 5), PaymentStatus.FAILED),
        (intent("processing", 9), PaymentStatus.PENDING),
        (intent("processing", 12), PaymentStatus.PENDING),
        (intent("canceled", 5), PaymentStatus.CANCELED),
    ],
)
def test_the_newest_word_on_the_last_attempt_is_the_status_and_a_cancellation_is_final(
    attempt: Fact, status: PaymentStatus
) -> None:
    assert only_payment(project_facts(charge(9, **FAILED), attempt)).status is status


def test_success_is_not_undone_by_an_older_or_sibling_failure() -> None:
    facts = [
        intent("succeeded", 5, latest_charge="ch_2"),
        intent("requires_payment_method", 9, failed=True, latest_charge="ch_1"),
        charge(5, stripe_id="ch_2"),
        charge(6, stripe_id="ch_1", **FAILED),
        charge(4, stripe_id="ch_2", **FAILED),
    ]

    row = only_payment(project_facts(facts))

    assert (row.amount_minor, row.status, row.occurred_at) == (2999, "succeeded", at(5))


def test_an_authorisation_is_no_money_and_releasing_it_gives_none_back() -> None:
    released = charge(captured=False, amount_captured=0, amount_refunded=2999)

    assert amounts(project_facts(intent("canceled"), released)) == {"pi_1": (0, 0)}
    assert amounts(project_facts(released, refund())) == {"pi_1": (0, 0)}


def test_a_partial_capture_brings_what_was_captured_and_gives_nothing_back() -> None:
    """Stripe counts the release of the rest as a refund of the charge."""
    captured = charge(amount=2999, amount_captured=1000, amount_refunded=1999)

    assert amounts(project_facts(captured)) == {"pi_1": (1000, 0)}
    assert amounts(project_facts(intent(amount_received=1000), captured)) == {"pi_1": (1000, 0)}
    assert amounts(project_facts(captured, refund(amount=1999, made=0))) == {"pi_1": (1000, 0)}


def test_the_running_total_is_never_added_up() -> None:
    facts = [charge(), charge(5, amount_refunded=1000), charge(9, amount_refunded=1500)]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 1500)}


def test_refund_objects_count_where_they_know_more_than_the_charge() -> None:
    facts = [charge(), refund("succeeded", 5, 1000), refund("succeeded", 6, 500, stripe_id="re_2")]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 1500)}
    assert amounts(project_facts(facts, charge(9, amount_refunded=1500))) == {"pi_1": (2999, 1500)}


def test_a_refund_is_not_counted_before_it_succeeded_or_after_it_failed() -> None:
    assert amounts(project_facts(charge(), refund("pending", 5))) == {"pi_1": (2999, 0)}
    assert amounts(project_facts(charge(), refund("brand_new", 5))) == {"pi_1": (2999, 0)}
    assert amounts(project_facts(charge(), refund("succeeded", 5), refund("failed", 9))) == {
        "pi_1": (2999, 0)
    }
    assert amounts(project_facts(charge(), refund("failed", 5), refund("succeeded", 9))) == {
        "pi_1": (2999, 2999)
    }


def test_a_refund_that_failed_after_the_running_total_is_taken_off_it() -> None:
    total = charge(5, amount_refunded=1500)
    others = [refund("succeeded", 4, 500, stripe_id="re_2")]

    assert amounts(project_facts(total, others, refund("failed", 9, 1000))) == {"pi_1": (2999, 500)}
    assert amounts(project_facts(total, others, refund("failed", 9, 1000, charge=None))) == {
        "pi_1": (2999, 500)
    }


def test_a_refund_that_failed_before_the_running_total_is_out_of_it_already() -> None:
    assert amounts(project_facts(charge(5, amount_refunded=1500), refund("failed", 3, 1000))) == {
        "pi_1": (2999, 1500)
    }


def test_a_refund_that_failed_stays_failed_since_its_first_failure() -> None:
    facts = [
        refund("failed", 3, 1000),
        charge(5, amount_refunded=1500),
        refund("failed", 9, 1000),
    ]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 1500)}


def test_a_refund_made_after_the_running_total_was_never_in_it() -> None:
    facts = [
        charge(5, amount_refunded=1500),
        refund("pending", 7, 1000, rank=Rank.CREATED),
        refund("failed", 9, 1000),
    ]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 1500)}


def test_a_refund_of_another_charge_is_not_taken_off_this_ones_total() -> None:
    facts = [charge(5, amount_refunded=1500), refund("failed", 9, 1000, charge="ch_other")]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 1500)}


def test_a_refund_that_names_nothing_touches_nothing() -> None:
    facts = [
        charge(),
        refund(charge=None, payment_intent=None),
        dispute("lost", charge=None, payment_intent=None),
    ]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 0)}


@pytest.mark.parametrize(("currency", "amount"), [("jpy", 500), ("kwd", 1_234_567), ("usd", 1)])
def test_an_amount_is_whole_minor_units_of_its_currency(currency: str, amount: int) -> None:
    """Never multiply or divide: yen have no smaller unit and dinars have a thousand."""
    facts = [
        KNOWN,
        charge(0, amount_captured=amount, amount_refunded=amount, currency=currency),
        invoice(999, stripe_id="in_9", amount_paid=amount, currency=currency),
    ]

    assert amounts(project_facts(facts)) == {"pi_1": (amount, amount), "in_9": (amount, 0)}
    assert {row.currency for row in project_facts(facts).payments.values()} == {currency}


def test_a_checkout_of_no_known_currency_is_in_none() -> None:
    assert only_payment(project_facts(checkout(currency=None))).currency == "xxx"


def test_a_refund_that_comes_before_its_payment_is_not_lost() -> None:
    assert amounts(project_facts(refund())) == {"pi_1": (0, 0)}
    assert amounts(project_facts(refund(), intent())) == {"pi_1": (2999, 2999)}


def test_the_newest_dispute_is_the_one_opened_last() -> None:
    facts = [
        charge(),
        dispute("needs_response", 20, stripe_id="dp_1", opened=1),
        dispute("under_review", 10, stripe_id="dp_2", opened=9),
    ]

    assert only_payment(project_facts(facts)).dispute_status == "under_review"


def test_the_plan_of_a_subscription_payment_is_what_the_invoice_says() -> None:
    billed = invoice(payment_refs=("pi_1",), lines=(line("price_basic"),))

    assert only_payment(project_facts(billed, intent(), subscription())).plan_code == "basic"
    assert only_payment(project_facts(billed, intent())).plan_code == "basic"


def test_an_invoice_for_two_plans_is_for_the_one_the_subscription_is_on() -> None:
    upgrade = invoice(payment_refs=("pi_1",), lines=(line("price_basic"), line()))

    assert only_payment(project_facts(upgrade, intent(), subscription())).plan_code == "premium"
    assert only_payment(project_facts(upgrade, intent())).plan_code == "basic"


def test_an_invoice_without_readable_lines_is_for_the_plan_of_its_subscription_or_checkout() -> (
    None
):
    billed = invoice(payment_refs=("pi_1",), lines=())

    assert only_payment(project_facts(billed, intent(), subscription())).plan_code == "premium"
    assert (
        only_payment(project_facts(billed, intent(), subscribed(invoice="in_1"))).plan_code
        == "premium"
    )
    assert only_payment(project_facts(billed, intent())).plan_code is None


def test_a_payment_of_an_unknown_purpose_has_no_plan() -> None:
    assert only_payment(project_facts(intent())).plan_code is None


def test_what_is_released_beside_what_is_captured_gives_nothing_back() -> None:
    released = charge(1, stripe_id="ch_0", captured=False, amount_captured=0, amount_refunded=2999)

    assert amounts(project_facts(released, charge(amount_captured=1000))) == {"pi_1": (1000, 0)}


def test_a_refund_stands_beside_an_attempt_that_failed() -> None:
    facts = [charge(1, **FAILED), refund(charge="ch_2"), checkout(5)]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 2999)}


def test_a_refund_that_was_pending_when_the_total_was_taken_and_failed_is_taken_off_it() -> None:
    facts = [
        charge(5, amount_refunded=1500),
        refund("pending", 4, 1000, rank=Rank.CREATED),
        refund("failed", 9, 1000),
    ]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 500)}


def test_a_refund_made_in_the_second_of_the_total_is_in_it() -> None:
    made = refund("pending", 5, 1000, rank=Rank.CREATED)

    assert amounts(
        project_facts(charge(5, amount_refunded=1500), made, refund("failed", 9, 1000))
    ) == {"pi_1": (2999, 500)}


def test_a_refund_that_failed_in_the_second_of_the_total_is_out_of_it() -> None:
    facts = [charge(5, amount_refunded=1500), refund("failed", 5, 1000)]

    assert amounts(project_facts(facts)) == {"pi_1": (2999, 1500)}


def test_a_charge_of_two_intents_is_of_the_one_with_the_lower_id() -> None:
    facts = [charge(0, payment_intent="pi_2"), refund(payment_intent="pi_1")]

    assert (
        amounts(project_facts(facts))
        == amounts(project_facts(facts[::-1]))
        == {"pi_1": (2999, 2999)}
    )


def test_a_invoice_payment_that_names_no_payment_makes_none() -> None:
    assert not project_facts(invoice_payment(paid_by=None)).payments


def test_every_object_states_the_currency_of_the_money() -> None:
    for witness in (checkout(currency="eur"), intent(currency="eur"), charge(currency="eur")):
        assert only_payment(project_facts(witness)).currency == "eur"
    assert only_payment(project_facts(invoice_payment())).currency == "usd"
    assert only_payment(project_facts(invoice(currency="eur"))).currency == "eur"


def test_a_payment_happened_when_the_money_came_and_not_when_it_was_asked_for() -> None:
    assert only_payment(
        project_facts(intent("processing", 1), intent("succeeded", 9))
    ).occurred_at == at(9)
    assert only_payment(project_facts(intent("processing", 1))).occurred_at == at(1)
