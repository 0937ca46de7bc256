"""People's statements are read from their table by key, however many there are."""

from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy import event as listening

from billing.ids import PartyId
from runtime.ledger.admit import open_transaction
from runtime.ledger.record import Ledger
from runtime.ledger.stored_statements import stated_facts
from tests.runtime.ledger.test_statements import grant, record

pytestmark = pytest.mark.servers


def test_the_statements_of_a_party_are_found_by_key(ledger: Ledger, engine: Engine) -> None:
    record(ledger, *(grant(f"grant_{number}") for number in range(50)))
    party, plans = PartyId("any:grant_7"), list[str]()

    def explain(_: Any, cursor: Any, statement: str, given: Any, *__: Any) -> None:
        if "operator_statements" in statement:
            cursor.execute(f"EXPLAIN {statement}", given)
            plans.extend(line for (line,) in cursor.fetchall())

    listening.listen(engine, "before_cursor_execute", explain)
    with engine.connect() as connection:
        open_transaction(connection)
        stated = stated_facts(connection, [party])

    assert [fact.event_id for fact in stated[party]] == ["op_grant_7"]
    assert any("operator_statements_subject_idx" in line for line in plans)
    assert not any("Seq Scan" in line for line in plans)
