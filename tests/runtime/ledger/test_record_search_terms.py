"""The words by which people look for a party, written with its facts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy import event as listening

from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import delivery, event

pytestmark = pytest.mark.servers


def invoice(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"in_{number}",
        "object": "invoice",
        "customer": "cus_1",
        "customer_email": "Ada@Example.com",
        "status": "paid",
        "currency": "usd",
        **changes,
    }


def terms(engine: Engine) -> list[tuple[str, str, str, str]]:
    query = text("SELECT term, kind, object_key, party FROM search_terms ORDER BY 1, 2, 3")
    with engine.connect() as connection:
        return [
            (row.term, row.kind, row.object_key, row.party) for row in connection.execute(query)
        ]


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Collect the statements that write search terms."""
    sent: list[str] = []

    def collect(*given: Any) -> None:
        if "search_terms" in given[2]:
            sent.append(given[2])

    listening.listen(engine, "before_cursor_execute", collect)
    yield sent
    listening.remove(engine, "before_cursor_execute", collect)


def test_a_customer_has_one_row_for_an_address_however_many_invoices_repeat_it(
    engine: Engine, ledger: Ledger
) -> None:
    deliveries = [delivery(event("invoice.paid", invoice(number))) for number in range(5)]

    with statements(engine) as sent:
        ledger.record(deliveries)
        ledger.record([delivery(event("invoice.paid", invoice(9)))])

    assert terms(engine) == [("ada@example.com", "email", "test:cus_1", "test:cus_1")]
    assert len(sent) == 2, "one a batch"


def test_names_and_metadata_are_written_beside_the_address(engine: Engine, ledger: Ledger) -> None:
    named = invoice(1, customer_name="Ada  Lovelace", metadata={"order": "No 7", "user_id": "u"})

    with statements(engine) as sent:
        ledger.record([delivery(event("invoice.paid", named))])
        ledger.record([delivery(event("invoice.paid", {**named, "id": "in_2"}))])

    assert [row[:3] for row in terms(engine)] == [
        ("ada lovelace", "name", "test:cus_1"),
        ("ada@example.com", "email", "test:cus_1"),
        ("no 7", "metadata", "test:cus_1"),
    ]
    assert len(sent) == 2, "one a batch"


def test_a_batch_without_an_address_costs_no_statement(engine: Engine, ledger: Ledger) -> None:
    with statements(engine) as sent:
        ledger.record([delivery(event("invoice.paid", invoice(1, customer_email=None)))])

    assert sent == []


def test_a_former_address_still_leads_to_the_customer(engine: Engine, ledger: Ledger) -> None:
    for number, address in enumerate(("old@example.com", "new@example.com")):
        customer = {"id": "cus_1", "object": "customer", "email": address}
        ledger.record([delivery(event("customer.updated", customer, id=f"evt_{number}"))])

    assert [row[0] for row in terms(engine)] == ["new@example.com", "old@example.com"]


def test_an_object_without_a_customer_moves_with_its_party(engine: Engine, ledger: Ledger) -> None:
    charge = {"id": "ch_1", "object": "charge", "payment_intent": "pi_1", "status": "succeeded"}
    alone = {**charge, "billing_details": {"email": "guest@example.com"}}
    ledger.record([delivery(event("charge.succeeded", alone))])
    [before] = terms(engine)

    intent = {"id": "pi_1", "object": "payment_intent", "customer": "cus_1", "status": "succeeded"}
    ledger.record([delivery(event("payment_intent.succeeded", intent))])

    assert before[2] == "test:ch_1"
    assert before[3] != "test:cus_1"
    assert terms(engine) == [("guest@example.com", "email", "test:ch_1", "test:cus_1")]
