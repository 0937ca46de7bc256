"""Money going back: refunds, released authorisations, returned debits, credit notes."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from billing.facts import Fact, Rank
from billing.rows import PaymentRow, PaymentStatus
from tests.billing.fact_builders import (
    amounts,
    at,
    charge,
    checkout,
    credit_note,
    customer,
    intent,
    invoice,
    invoice_payment,
    only_payment,
    project_facts,
    refund,
    with_fields,
)

FAILED: dict[str, Any] = {"status": "failed", "captured": False, "amount_captured": 0}
CAPTURED: dict[str, Any] = {"amount": 4900, "amount_captured": 4000, "amount_refunded": 900}
"""4900 were authorised and 4000 captured, which Stripe shows as a refund of 900."""


def row_of(*facts: Fact) -> PaymentRow:
    """Return the only payment, which is the same in every order of the facts."""
    rows = [only_payment(project_facts(order)) for order in permutations(facts)]
    assert all(row == rows[0] and row.changed_at == rows[0].changed_at for row in rows)
    return rows[0]


def totals(*facts: Fact) -> tuple[int, int]:
    row = row_of(*facts)
    return row.amount_minor, row.amount_refunded_minor


class TestReleasedAuthorisations:
    def test_the_rest_of_a_capture_is_no_refund(self) -> None:
        assert totals(charge(**CAPTURED)) == (4000, 0)
        assert totals(intent(amount=4900, amount_received=4000), charge(**CAPTURED)) == (4000, 0)

    def test_a_refund_after_a_capture_in_part_is_one(self) -> None:
        back = {**CAPTURED, "amount_refunded": 1900}

        assert totals(charge(5), charge(9, **back)) == (4000, 1000)
        assert totals(charge(**CAPTURED), refund("succeeded", 9, 1000, made=9)) == (4000, 1000)
        assert totals(charge(9, **back), refund("succeeded", 9, 1000, made=9)) == (4000, 1000)

    def test_a_whole_refund_after_a_capture_in_part_gives_back_what_was_captured(self) -> None:
        assert totals(charge(**{**CAPTURED, "amount_refunded": 4900})) == (4000, 4000)

    def test_the_refund_object_of_a_release_is_no_refund(self) -> None:
        released = refund("succeeded", 5, 900, stripe_id="re_0", made=5)
        event = {"type_": "charge.captured"}

        assert totals(charge(5, how=event, **CAPTURED), released) == (4000, 0)
        assert totals(
            charge(5, how=event, **CAPTURED), released, refund("succeeded", 9, 1000, made=9)
        ) == (4000, 1000)
        assert totals(intent(seconds=5, amount=4900, amount_received=4000), released) == (4000, 0)

    def test_refunds_beyond_what_was_captured_hold_the_release(self) -> None:
        released = refund("succeeded", 3, 900, stripe_id="re_0", charge=None)
        back = refund("succeeded", 9, 4000, charge=None)

        taken = intent(seconds=1, amount=4900, amount_received=4000)
        assert totals(taken, released, back) == (4000, 4000)

    def test_a_running_total_tells_the_release_whose_refund_states_no_second(self) -> None:
        released = refund("succeeded", 5, 900, stripe_id="re_0")
        back = refund("succeeded", 6, 1000)
        total = charge(9, **{**CAPTURED, "amount_refunded": 1900})

        assert totals(charge(9, **CAPTURED), released) == (4000, 0)
        assert totals(total, released, back) == (4000, 1000)
        later = refund("succeeded", 12, 500, stripe_id="re_2")
        assert totals(total, back, later) == (4000, 1500)

    def test_an_uncaptured_rest_is_released_once_the_intent_is_over(self) -> None:
        part: dict[str, Any] = {"amount": 4900, "amount_captured": 1000, "captured": True}
        held = intent("requires_capture", amount=4900, amount_received=1000)

        assert totals(held, charge(**part, amount_refunded=500)) == (1000, 500)
        assert totals(intent("canceled", 9), charge(**part, amount_refunded=3900)) == (1000, 0)
        assert totals(held, charge(9, **part, amount_refunded=3900)) == (1000, 0)

    def test_an_old_charge_shows_what_was_released_from_the_second_of_its_capture_on(self) -> None:
        """Read charges of before September 2020, which do not state what was captured."""
        old: dict[str, Any] = {"amount_captured": 4900, "amount": 4900, "captured_assumed": True}
        held = charge(1, amount=4900, amount_captured=0, captured=False, payment_intent=None)
        event = {"type_": "charge.captured"}
        taken = charge(5, how=event, **old, payment_intent=None, amount_refunded=900)
        unheard = charge(5, **old, payment_intent=None, amount_refunded=900)
        changed = replace(unheard, before=held.fields)
        back = charge(9, **old, payment_intent=None, amount_refunded=1900)
        released = refund("succeeded", 5, 900, stripe_id="re_0", made=5, payment_intent=None)

        for captured in (taken, changed):
            assert totals(held, captured) == totals(captured) == (4000, 0)
            assert totals(held, captured, released) == (4000, 0)
            assert totals(held, captured, back) == totals(back, captured) == (4000, 1000)
        assert totals(held, unheard) == (4900, 900)
        assert totals(taken, with_fields(back, captured_assumed=False)) == (4900, 1900)

    def test_an_old_charge_that_was_refunded_whole_in_the_second_of_its_capture_had_come(
        self,
    ) -> None:
        old: dict[str, Any] = {"amount": 4900, "captured_assumed": True, "payment_intent": None}
        event = {"type_": "charge.captured"}

        assert totals(charge(5, how=event, **old, amount_captured=4900, amount_refunded=4900)) == (
            4900,
            4900,
        )

    def test_an_authorisation_given_up_is_canceled(self) -> None:
        released = charge(captured=False, amount_captured=0, amount_refunded=2999)

        assert (row_of(released).status, totals(released)) == (PaymentStatus.CANCELED, (0, 0))
        assert row_of(intent("requires_capture", -5), released).status is PaymentStatus.CANCELED
        flagged = charge(captured=False, amount_captured=0, refunded_in_full=True)
        assert row_of(flagged).status is PaymentStatus.CANCELED


class TestCaptureInParts:
    def test_each_part_is_money_before_the_payment_succeeds(self) -> None:
        first = intent("requires_capture", 1, amount=4900, amount_received=1000)
        second = intent("requires_capture", 2, amount=4900, amount_received=3000)

        assert totals(first) == (1000, 0)
        assert totals(first, second) == (3000, 0)
        assert totals(first, second, intent(seconds=3, amount_received=4900)) == (4900, 0)
        assert row_of(first).status is PaymentStatus.SUCCEEDED

    def test_nothing_is_released_while_more_can_be_captured(self) -> None:
        held = intent("requires_capture", 5, amount=4900, amount_received=3000)

        assert totals(held, refund("succeeded", 5, 1000, made=5)) == (3000, 1000)

    def test_parts_are_known_by_the_charge_alone(self) -> None:
        first = charge(1, amount=4900, amount_captured=1000, captured=False)
        second = charge(2, amount=4900, amount_captured=4900, captured=True)

        assert totals(first) == (1000, 0)
        assert totals(first, second) == (4900, 0)

    def test_what_was_captured_before_a_cancellation_stays(self) -> None:
        assert totals(intent("canceled", amount=4900, amount_received=1000)) == (1000, 0)

    def test_a_part_that_only_the_charge_knows_counts(self) -> None:
        held = intent("requires_capture", 1, amount=4900, amount_received=1000)

        assert totals(held, charge(2, amount=4900, amount_captured=3000)) == (3000, 0)

    def test_an_intent_that_succeeded_states_the_final_amount(self) -> None:
        """Expect no more than the intent states: old charges do not state what was captured."""
        whole = charge(amount=4900, amount_captured=4900, amount_refunded=900)

        assert totals(intent(amount=4900, amount_received=4000), whole) == (4000, 0)


class TestRefundsThatDidNotSucceed:
    def test_a_total_counts_a_pending_refund_that_gives_nothing_back_yet(self) -> None:
        total = charge(5, amount_refunded=1000)

        assert totals(total, refund("pending", 5, 1000, made=5)) == (2999, 0)
        assert totals(total, refund("requires_action", 5, 1000, made=5)) == (2999, 0)
        assert totals(
            total, refund("pending", 5, 1000, made=5), refund("succeeded", 9, 1000, made=5)
        ) == (2999, 1000)

    def test_a_pending_refund_made_after_the_total_is_not_in_it(self) -> None:
        assert totals(charge(5, amount_refunded=1000), refund("pending", 7, 500, made=7)) == (
            *(2999, 1000),
        )

    def test_a_refund_is_known_to_be_in_the_total_by_its_own_second(self) -> None:
        """Expect no event of its creation."""
        failed = refund("failed", 9, 1000, made=3)

        assert totals(charge(5, amount_refunded=1000), failed) == (2999, 0)

    def test_refunded_is_never_more_than_received(self) -> None:
        assert totals(charge(), refund(amount=9999)) == (2999, 2999)
        assert totals(refund()) == (0, 0)
        assert totals(intent("processing"), refund()) == (0, 0)


class TestReturnedDebits:
    paid = charge(1)
    returned = charge(9, **FAILED)

    def test_a_newer_failure_of_the_same_charge_takes_the_money_back(self) -> None:
        row = row_of(self.paid, self.returned)

        assert (row.amount_minor, row.status) == (0, PaymentStatus.FAILED)
        assert (row.occurred_at, row.changed_at) == (at(1), at(9))

    def test_money_that_was_returned_is_dated_by_the_second_in_which_it_came(self) -> None:
        begun = intent("processing", 0)
        came = intent(seconds=5, latest_charge="ch_1")

        assert row_of(begun, came, self.returned).occurred_at == at(5)

    def test_neither_intent_nor_checkout_speaks_against_the_charge(self) -> None:
        facts = [self.paid, self.returned, intent(seconds=1), checkout(2)]

        assert row_of(*facts).amount_minor == 0

    def test_the_failure_alone_is_enough_if_the_intent_names_its_charge(self) -> None:
        paid = intent(seconds=1, latest_charge="ch_1")

        assert row_of(paid, self.returned).amount_minor == 0
        assert row_of(paid, charge(9, stripe_id="ch_2", **FAILED)).amount_minor == 2999
        assert row_of(paid, charge(0, **FAILED)).amount_minor == 2999

    def test_the_intent_alone_tells_it_by_its_charge(self) -> None:
        paid = intent(seconds=1, latest_charge="ch_1")
        back: dict[str, Any] = {"failed": True, "amount_received": 0}

        failed = intent("requires_payment_method", 9, latest_charge="ch_1", **back)
        assert (row_of(paid, failed).amount_minor, row_of(paid, failed).changed_at) == (0, at(9))
        assert row_of(paid, failed, charge(7, **FAILED)).changed_at == at(9)
        another = intent("requires_payment_method", 9, latest_charge="ch_2", **back)
        assert row_of(paid, another).amount_minor == 2999
        assert row_of(intent(seconds=1), intent("processing", 9, **back)).amount_minor == 2999
        earlier = intent("requires_payment_method", 0, latest_charge="ch_1", **back)
        assert row_of(earlier, paid).amount_minor == 2999

    def test_another_attempt_that_succeeds_later_stands(self) -> None:
        again = charge(20, stripe_id="ch_2")

        assert row_of(self.paid, self.returned, again).amount_minor == 2999
        assert row_of(self.paid, self.returned, again, intent(seconds=20)).amount_minor == 2999
        assert row_of(self.paid, self.returned, intent(seconds=20)).amount_minor == 2999

    def test_another_attempt_states_its_own_amount_and_not_that_of_the_one_returned(self) -> None:
        paid, again = (
            intent(seconds=1, latest_charge="ch_1"),
            charge(20, stripe_id="ch_2", amount_captured=2000),
        )

        assert totals(paid, self.returned, again) == (2000, 0)

    def test_a_checkout_speaks_until_its_payment_fails_later(self) -> None:
        pending = charge(1, status="pending", captured=False, amount_captured=0)
        paid = checkout(5)

        assert row_of(pending, paid).amount_minor == 2999
        assert row_of(pending, paid, charge(3, **FAILED, stripe_id="ch_0")).amount_minor == 2999
        row = row_of(pending, paid, self.returned)
        assert (row.amount_minor, row.status, row.changed_at) == (0, PaymentStatus.FAILED, at(9))
        failed = intent("requires_payment_method", 9, failed=True)
        assert row_of(paid, failed).amount_minor == 0
        assert row_of(paid, intent("processing", 9)).amount_minor == 2999
        assert row_of(invoice_payment(5), failed).amount_minor == 0

    def test_a_failure_in_the_second_of_the_money_takes_nothing_back(self) -> None:
        failed = charge(5, **FAILED)

        assert row_of(intent(seconds=5, latest_charge="ch_1"), failed).amount_minor == 2999
        assert row_of(checkout(5), failed).amount_minor == 2999
        again = intent("requires_payment_method", 5, failed=True)
        assert row_of(checkout(5), again).amount_minor == 2999

    def test_an_intent_that_names_no_charge_stands_against_one_that_never_succeeded(self) -> None:
        assert row_of(intent(seconds=1), charge(9, **FAILED)).amount_minor == 2999

    def test_money_that_came_twice_was_returned_when_the_last_of_it_was(self) -> None:
        other = [charge(3, stripe_id="ch_2"), charge(7, stripe_id="ch_2", **FAILED)]

        row = row_of(self.paid, self.returned, *other)
        assert (row.amount_minor, row.changed_at) == (0, at(9))
        row = row_of(intent(seconds=5), self.returned, self.paid, *other)
        assert (row.amount_minor, row.changed_at) == (0, at(9))

    def test_its_invoice_does_not_stand_in_for_it(self) -> None:
        facts = [self.paid, self.returned, invoice(2)]

        assert amounts(project_facts(facts, invoice_payment(2))) == {"pi_1": (0, 0)}
        assert amounts(project_facts(facts)) == {"pi_1": (0, 0)}


class TestCreditNotes:
    outside = invoice(subscription=None, paid_out_of_band=True)

    def test_money_given_back_outside_stripe_is_refunded(self) -> None:
        note = credit_note(9, out_of_band_amount=1000)

        assert totals(self.outside, note) == (2999, 1000)
        assert row_of(self.outside, note).changed_at == at(9)

    def test_a_void_note_gives_nothing_back(self) -> None:
        note = credit_note(5, out_of_band_amount=1000)
        voided = credit_note(9, out_of_band_amount=1000, status="void")

        assert totals(self.outside, note, voided) == (2999, 0)
        assert row_of(self.outside, note, voided).changed_at == at(9)
        assert row_of(self.outside, note, voided).refunds == ()

    def test_a_credit_to_the_balance_is_no_money(self) -> None:
        assert totals(self.outside, credit_note(9)) == (2999, 0)

    def test_a_note_is_booked_on_the_payment_of_its_invoice(self) -> None:
        note = credit_note(9, out_of_band_amount=1000)
        facts = [invoice(), invoice_payment(), intent(), note]

        assert totals(*facts) == (2999, 1000)
        assert totals(*facts[:3], charge(amount_refunded=500), note) == (2999, 1500)

    def test_notes_give_back_no_more_than_came(self) -> None:
        notes = [credit_note(9, stripe_id=f"cn_{i}", out_of_band_amount=2000) for i in range(2)]

        assert totals(self.outside, *notes) == (2999, 2999)

    def test_a_note_of_two_payments_takes_the_first_one_first(self) -> None:
        facts = [
            invoice(amount_paid=4000),
            *(intent(stripe_id=f"pi_{i}", amount_received=2000) for i in (1, 2)),
            *(invoice_payment(0, 2000, stripe_id=f"inpay_{i}", paid_by=f"pi_{i}") for i in (1, 2)),
            credit_note(9, out_of_band_amount=3000),
        ]

        assert amounts(project_facts(facts)) == {"pi_1": (2000, 2000), "pi_2": (2000, 1000)}

    def test_a_note_of_an_unknown_invoice_changes_nothing(self) -> None:
        assert not project_facts(credit_note(9, out_of_band_amount=3000)).payments
        assert not project_facts(credit_note(9, invoice=None, out_of_band_amount=1)).payments


class TestDates:
    def test_a_refund_is_dated_by_its_own_second(self) -> None:
        late = refund("succeeded", 99, 1000, made=9)

        assert row_of(charge(), late).changed_at == at(9)
        assert row_of(charge(99, amount_refunded=1000), late).changed_at == at(9)

    def test_a_running_total_that_no_refund_explains_is_dated_by_its_event(self) -> None:
        assert row_of(charge(), charge(9, amount_refunded=1000)).changed_at == at(9)

    def test_each_refund_has_its_second_and_its_amount(self) -> None:
        june, july = refund("succeeded", 3, 400), refund("succeeded", 9, 600, stripe_id="re_2")
        total = charge(12, amount_refunded=1200)

        assert row_of(charge(), june, july).refunds == ((at(3), 400), (at(9), 600))
        assert row_of(charge(), june, july).changed_at == at(9)
        assert row_of(charge(), june, july, total).refunds == (
            *((at(3), 400), (at(9), 600)),
            (at(12), 200),
        )
        assert row_of(charge(), refund(amount=9999)).refunds == ()

    def test_what_was_given_back_outside_stripe_has_its_second_and_its_amount(self) -> None:
        outside = invoice(subscription=None, paid_out_of_band=True)

        row = row_of(outside, credit_note(9, out_of_band_amount=1000))
        assert row.refunds == ((at(9), 1000),)

    def test_a_refund_that_failed_is_dated_by_its_failure(self) -> None:
        facts = [charge(), refund("succeeded", 3, made=3), refund("failed", 9, made=3)]

        assert row_of(*facts).changed_at == at(9)

    def test_a_payment_of_which_nothing_went_back_has_no_such_second(self) -> None:
        assert row_of(customer("usr_1"), charge()).changed_at is None

    def test_a_refund_that_is_the_first_word_of_a_charge_is_of_the_invoice_it_paid(self) -> None:
        """Expect one payment: the charge was made in the second in which the invoice was paid."""
        late = charge(99 * 86_400, own_created_at=at(5), amount_refunded=2999)

        projection = project_facts(customer("usr_1"), invoice(5, paid_at=at(5)), late)

        row = only_payment(projection)
        assert (row.amount_minor, row.amount_refunded_minor) == (2999, 2999)
        assert (row.occurred_at, row.inferred, row.user_id) == (at(5), True, "usr_1")


@pytest.mark.parametrize("kind", ["charge", "intent"])
def test_an_attempt_is_dated_by_its_own_second(kind: str) -> None:
    if kind == "charge":
        assert row_of(charge(9, own_created_at=at(5))).occurred_at == at(5)
        assert row_of(charge(9), charge(5, stripe_id="ch_2")).occurred_at == at(5)
        assert row_of(intent(seconds=8), charge(9, own_created_at=at(5))).occurred_at == at(5)
    else:
        assert row_of(intent("processing", 9, own_created_at=at(5))).occurred_at == at(5)
        assert row_of(intent(seconds=9, own_created_at=at(5))).occurred_at == at(9)
        assert row_of(intent(seconds=9), intent(seconds=19)).occurred_at == at(9)


class TestSecondsThatDecide:
    def test_a_refund_between_a_capture_and_the_intents_success_is_no_release(self) -> None:
        capture = charge(5, **CAPTURED, how={"type_": "charge.captured"})
        succeeded = intent(seconds=20, amount=4900, amount_received=4000)

        assert totals(capture, succeeded, refund("succeeded", 10, 900, made=10)) == (4000, 900)

    def test_a_refund_before_the_intents_success_is_a_release_where_no_capture_is_heard(
        self,
    ) -> None:
        seen = charge(30, **{**CAPTURED, "amount_refunded": 1900})
        succeeded = intent(seconds=20, amount=4900, amount_received=4000)
        released = refund("succeeded", 10, 900, stripe_id="re_0", made=10)

        assert totals(seen, succeeded, released) == (4000, 1000)

    def test_a_pending_refund_made_after_a_running_total_is_not_in_it(self) -> None:
        total = charge(5, amount_refunded=1000)
        later = refund("pending", 9, 500, rank=Rank.CREATED)
        undated = refund("pending", 9, 500)

        assert totals(total, later) == (2999, 1000)
        assert totals(total, undated) == (2999, 500)

    def test_a_returned_charge_undoes_an_intent_that_names_no_charge(self) -> None:
        there, back = charge(4), charge(20, **FAILED)

        assert totals(intent(seconds=5), there, back) == (0, 0)

    def test_a_failure_of_another_charge_undoes_no_intent(self) -> None:
        paid = intent(seconds=5, latest_charge="ch_2")
        other = charge(20, **FAILED)

        assert totals(paid, other) == (2999, 0)

    def test_an_invoice_payment_that_was_paid_stays_a_link_when_it_is_canceled(self) -> None:
        facts = [invoice(), invoice_payment(0), invoice_payment(5, status="canceled")]

        assert amounts(project_facts(*facts)) == {"pi_1": (2999, 0)}
