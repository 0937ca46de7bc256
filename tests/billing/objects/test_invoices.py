"""The state of an invoice: what was paid on it, when, and what it still waits for."""

import pytest

from billing.facts import OBSERVED, Fact
from billing.objects.invoices import (
    InvoicePaymentState,
    InvoiceState,
    fold_invoice,
    fold_invoice_payment,
)
from billing.objects.ordering import order_facts
from tests.billing.fact_builders import at, invoice, invoice_payment, line, open_invoice


def state(*facts: Fact) -> InvoiceState:
    return fold_invoice(facts[0].object_key, order_facts(facts))


def payment_state(*facts: Fact) -> InvoicePaymentState:
    return fold_invoice_payment(facts[0].object_key, order_facts(facts))


def test_a_late_snapshot_of_its_open_days_does_not_reopen_an_invoice() -> None:
    found = state(invoice(5), open_invoice(9))

    assert found.money == (2999, "usd", at(5))
    assert found.granted is not None
    assert (found.granted.since, found.granted.newest.at) == (at(5), at(5))
    assert found.unpaid_since is None


def test_an_invoice_was_paid_in_the_second_that_it_states() -> None:
    found = state(invoice(5, paid_at=at(3)), invoice(9))

    assert found.money == (2999, "usd", at(3))
    assert found.granted is not None
    assert found.granted.since == at(3)


def test_an_invoice_that_is_paid_in_part_has_money_and_grants_nothing() -> None:
    found = state(open_invoice(1), open_invoice(5, amount_paid=1), open_invoice(9, amount_paid=7))

    assert found.money == (7, "usd", at(5))
    assert found.granted is None


def test_an_invoice_that_nobody_paid_has_no_money() -> None:
    assert state(open_invoice()).money is None


def test_the_words_of_an_invoice_stand_since_it_was_made() -> None:
    found = state(invoice(5, own_created_at=at(2)), invoice(9))

    assert found.user_statements.made_at == at(2)


def test_an_invoice_keeps_its_newest_amounts_and_every_payment_that_it_named() -> None:
    found = state(
        open_invoice(1, total=100, amount_due=90, payment_refs=("pi_1",), subscription="sub_7"),
        invoice(5, total=200, amount_due=190, payment_refs=("pi_2", "pi_1"), subscription=None),
    )

    assert (found.id, found.total, found.amount_due) == ("in_1", 200, 190)
    assert found.payment_refs == ("pi_1", "pi_2")
    assert (found.customer_id, found.subscription) == ("cus_1", "sub_7")
    assert [each.price for each in found.lines.lines] == ["price_premium"]


@pytest.mark.parametrize(
    ("facts", "since"),
    [
        ([open_invoice(5, finalized_at=at(3), own_created_at=at(1))], 3),
        ([open_invoice(5, own_created_at=at(1))], 1),
        ([open_invoice(5, finalized_at=at(3), due_at=at(9)), open_invoice(6)], 9),
        ([invoice(5, finalized_at=at(3), due_at=at(9))], None),
        ([invoice(5, finalized_at=at(3))], None),
        ([open_invoice(5, status="void", finalized_at=at(3))], None),
        ([open_invoice(5)], None),
    ],
)
def test_an_invoice_waits_for_its_payment_since_it_was_due_or_finalised(
    facts: list[Fact], since: float | None
) -> None:
    assert state(*facts).unpaid_since == (None if since is None else at(since))


def test_the_newest_time_that_an_invoice_states_may_be_any_of_its_times() -> None:
    for named in ({"own_created_at": at(50)}, {"finalized_at": at(50)}, {"paid_at": at(50)}):
        assert state(open_invoice(5, **named), open_invoice(9)).latest_moment == at(50)
    assert state(open_invoice(5)).latest_moment == at(5)


def test_an_answer_of_the_api_tells_no_time_of_a_test_clock() -> None:
    asked = {"type_": OBSERVED}

    shown = open_invoice(5_000, own_created_at=at(2), how=asked)

    assert state(shown).latest_moment == at(2)
    assert state(open_invoice(5_000, how=asked)).latest_moment == at(5_000)


def test_one_snapshot_of_a_test_clock_is_enough_for_an_invoice_and_so_is_one_out_of_band() -> None:
    found = state(open_invoice(1, test_clock="clock_1", paid_out_of_band=True), invoice(5))

    assert (found.clocked, found.paid_out_of_band) == (True, True)
    assert (state(invoice()).clocked, state(invoice()).paid_out_of_band) == (False, False)


def test_an_invoice_names_plans_by_its_metadata_before_its_lines() -> None:
    named = invoice(0, subscription=None, plan_code="premium", lines=(line("price_basic"),))

    found = state(named).plan_references

    assert [(each.plan_code, each.refs) for each in found] == [
        ("premium", ()),
        (None, ("price_basic",)),
    ]


def test_every_failed_payment_of_an_invoice_is_kept() -> None:
    failed = [open_invoice(seconds, payment_failed=True) for seconds in (1, 5)]

    assert state(*failed, invoice(9)).failures == (at(1), at(5))


def test_a_payment_of_an_invoice_stays_paid() -> None:
    found = payment_state(
        invoice_payment(3, status="open"),
        invoice_payment(5, amount=100),
        invoice_payment(9, status="canceled"),
    )

    assert found.money == (100, "usd", at(5))
    assert not found.canceled
    assert (found.invoice, found.payment_ref, found.first_at) == ("in_1", "pi_1", at(3))


def test_a_payment_of_an_invoice_that_was_cancelled_brought_nothing() -> None:
    found = payment_state(invoice_payment(5, status="canceled"))

    assert (found.money, found.canceled) == (None, True)
