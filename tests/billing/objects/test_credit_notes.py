"""A credit note counts from the second in which it was made, or voided, whoever tells of it."""

from billing.facts import CreditedLine, Fact
from billing.objects.credit_notes import CreditNoteState, fold_credit_note
from billing.objects.ordering import order_facts
from tests.billing.fact_builders import at, credit_note

LINES = (CreditedLine(invoice_line="il_1", amount=2999, quantity=1),)


def state(*facts: Fact) -> CreditNoteState:
    return fold_credit_note(facts[0].object_key, order_facts(facts))


def test_a_note_counts_since_the_second_in_which_it_was_made() -> None:
    heard_late = credit_note(50, own_created_at=at(5))

    assert (state(heard_late).at, state(heard_late).changed_at) == (at(5), at(5))
    assert not state(heard_late).void


def test_a_note_without_a_second_of_its_own_was_made_when_it_was_first_heard_of() -> None:
    assert state(credit_note(50), credit_note(60)).changed_at == at(50)


def test_a_voided_note_changed_in_its_own_second_even_if_it_is_heard_of_later() -> None:
    made = credit_note(0, own_created_at=at(0))
    heard_late = credit_note(90, status="void", own_created_at=at(0), voided_at=at(30))

    assert state(made, heard_late).changed_at == at(30)
    assert (state(made, heard_late).void, state(made, heard_late).at) == (True, at(0))


def test_a_void_note_that_states_no_second_changed_when_it_was_first_heard_to_be_void() -> None:
    facts = [credit_note(0), credit_note(40, status="void"), credit_note(50, status="void")]

    assert state(*facts).changed_at == at(40)
    assert state(*facts).decided_by.at == at(40)


def test_a_note_keeps_its_invoice_its_lines_and_every_refund_that_it_named() -> None:
    first = credit_note(0, invoice="in_1", lines=LINES, refunds=("re_1",))
    second = credit_note(1, invoice=None, lines=(), refunds=("re_2", "re_1"), total=500)

    folded = state(first, second)

    assert (folded.invoice, folded.lines) == ("in_1", LINES)
    assert folded.refunds == ("re_1", "re_2")
    assert (folded.total, folded.out_of_band_amount) == (500, 0)


def test_a_note_that_never_listed_lines_has_none() -> None:
    assert state(credit_note()).lines == ()
