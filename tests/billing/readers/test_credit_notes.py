"""A credit note is read whole, in every API version, and stays void once it is."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.facts import CreditedLine, CreditNoteFields, Fact, Kind
from billing.ids import EventId
from billing.objects.credit_notes import fold_credit_note
from billing.objects.ordering import order_facts
from ops.samples.api_shapes import Shape
from ops.samples.worlds.records import CreditNote
from tests.billing.event_builders import CREATED, printed
from tests.billing.readers.read_events import ids, only_fact

RECORD = CreditNote(
    id="cn_1",
    invoice="in_1",
    customer="cus_1",
    created=1_000,
    amount=1000,
    currency="eur",
    refund="re_1",
    refund_amount=600,
    out_of_band=400,
)
LINES = {
    "data": [{"invoice_line_item": "il_1", "amount": 1000, "quantity": 2}],
    "has_more": False,
}
NOTE = printed(RECORD, Shape.OLD, lines=LINES)
NEW = printed(RECORD, lines=LINES)


def test_a_credit_note_is_read_whole_in_every_shape() -> None:
    for stated in (NOTE, NEW):
        fact = only_fact("credit_note.created", stated)

        assert fact.kind is Kind.CREDIT_NOTE
        assert ids(fact) == {"cn_1", "cus_1", "in_1", "re_1"}
        assert fact.fields == CreditNoteFields(
            status="issued",
            invoice="in_1",
            total=1000,
            out_of_band_amount=400,
            currency="eur",
            refunds=("re_1",),
            lines=(CreditedLine(invoice_line="il_1", amount=1000, quantity=2),),
            lines_complete=True,
            own_created_at=datetime.fromtimestamp(1_000, UTC),
            voided_at=None,
        )


@pytest.mark.parametrize("void_first", [True, False])
def test_a_void_credit_note_stays_void_in_any_order(*, void_first: bool) -> None:
    facts = [fact("credit_note.created", "evt_1"), fact("credit_note.voided", "evt_2")]

    state = fold_credit_note(
        facts[0].object_key, order_facts(reversed(facts) if void_first else facts)
    )

    assert state.void
    assert (state.id, state.invoice, state.total) == ("cn_1", "in_1", 1000)
    assert state.at == datetime.fromtimestamp(1_000, UTC)
    assert state.decided_by.event_id == "evt_2"


def fact(event_type: str, event_id: str) -> Fact:
    return replace(only_fact(event_type, NOTE), event_id=EventId(event_id))


def fields(event_type: str, **stated: Any) -> CreditNoteFields:
    read = only_fact(event_type, {**NOTE, **stated}).fields
    assert isinstance(read, CreditNoteFields)
    return read


@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        ({"total": 1000, "amount": 900}, 1000),
        ({"total": None, "amount": 900}, 900),
        ({"total": None, "amount": None}, 0),
    ],
)
def test_the_total_of_a_credit_note_is_its_amount_where_it_states_none(
    amounts: dict[str, int | None], total: int
) -> None:
    assert fields("credit_note.created", **amounts).total == total


def test_a_credit_note_was_voided_in_the_second_that_it_states_else_in_that_of_its_event() -> None:
    stated = fields("credit_note.updated", status="void", voided_at=1_500)
    unstated = fields("credit_note.voided", status="issued", voided_at=None)

    assert stated.voided_at == datetime.fromtimestamp(1_500, UTC)
    assert unstated.voided_at == datetime.fromtimestamp(CREATED, UTC)
    assert (stated.status, unstated.status) == ("void", "void")


def test_a_credit_note_names_every_refund_once() -> None:
    rows = [{"refund": "re_1"}, {"refund": {"id": "re_2"}}, {"refund": None}]

    read = fields("credit_note.created", refunds=rows, refund="re_1")

    assert read.refunds == ("re_1", "re_2")


def test_a_credit_note_whose_lines_were_cut_off_says_so() -> None:
    assert not fields("credit_note.created", lines={"data": [], "has_more": True}).lines_complete
