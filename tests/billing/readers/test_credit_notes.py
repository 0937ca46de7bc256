"""A credit note is read whole, in every API version, and stays void once it is."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from billing.facts import CreditedLine, CreditNoteFields, Fact, Kind
from billing.ids import EventId
from billing.objects.credit_notes import fold_credit_note
from billing.objects.ordering import order_facts
from tests.billing.readers.read_events import ids, only_fact

NOTE = {
    "id": "cn_1",
    "object": "credit_note",
    "customer": "cus_1",
    "status": "issued",
    "invoice": "in_1",
    "amount": 1000,
    "total": 1000,
    "out_of_band_amount": 400,
    "currency": "eur",
    "created": 1_000,
    "refund": "re_1",
    "lines": {
        "data": [{"invoice_line_item": "il_1", "amount": 1000, "quantity": 2}],
        "has_more": False,
    },
}
NEW = {**NOTE, "refund": None, "refunds": [{"refund": "re_1", "amount_refunded": 600}]}


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
