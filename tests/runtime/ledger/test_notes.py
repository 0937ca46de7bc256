"""Notes of archived payments count, and are named, as if nothing was archived."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from billing.archiving.leaving import NoteKind
from billing.ids import EventId, Realm
from billing.statements import OperatorLink
from ops.doctor.check_waiting import check_waiting
from ops.explain.waiting import list_on_purpose, list_waiting
from ops.queries import links
from ops.queries.lookups import look_up
from ops.queries.user_state import load_user_state
from runtime.ledger import batch_state
from runtime.ledger.deliveries import Delivery
from runtime.ledger.notes import NOTES as ALL_NOTES
from runtime.ledger.notes import notes_of_parties
from runtime.ledger.record import Ledger
from runtime.ledger.statements import NewStatement
from runtime.ledger.without_grant import count_without_grant
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import (
    NOW,
    checkout,
    customer,
    delivery,
    event,
    intent,
    rows,
)
from tests.runtime.ledger.test_archives import loaded

pytestmark = pytest.mark.servers

PAYMENTS = 60
TEST = [Realm("test")]
MadeEngine = Callable[[str], Engine]
NOTES = "SELECT count(*) FROM archive_notes"


def paid(number: int, customer_id: str = "cus_1", **given: Any) -> Delivery:
    """Return a payment that names neither a plan nor a user, an hour after the one before."""
    stated = intent(f"pi_{customer_id}_{number}", customer=customer_id, **given)
    return delivery(event("payment_intent.succeeded", stated, at=NOW - (1000 - number) * 3600))


def bare_payments(customer_id: str = "cus_1") -> list[Delivery]:
    created = event("customer.created", customer(customer_id), at=NOW - 2000 * 3600)
    return [delivery(created), *(paid(number, customer_id) for number in range(PAYMENTS))]


def assumed_and_awaiting() -> list[Delivery]:
    """Return checkouts of which the lines are assumed, and payments that name unknown invoices."""
    deliveries = []
    for number in range(PAYMENTS):
        names = {"payment_intent": f"pi_of_{number}", "metadata": {}, "customer": "cus_1"}
        sold = checkout(f"cs_{number}", **names)
        at = NOW - (5000 - number) * 3600
        deliveries.append(delivery(event("checkout.session.completed", sold, at=at)))
        reference = {"payment_details": {"order_reference": f"in_{number:08}"}}
        deliveries.append(paid(number, "cus_1", **reference))
    return deliveries


def record(ledger: Ledger, deliveries: Sequence[Delivery]) -> None:
    for start in range(0, len(deliveries), 12):
        ledger.record(deliveries[start : start + 12])


@dataclass(frozen=True)
class NotesFound:
    """The answers to all questions about notes."""

    counted: dict[str, int]
    waiting: tuple[list[links.WaitingSource], int, int]
    findings: list[str]
    explained: list[str]


def notes_found(engine: Engine, text: str = "cus_1") -> NotesFound:
    with engine.connect() as connection:
        state = load_user_state(connection, look_up(connection, TEST, text), TEST)
        return NotesFound(
            counted=count_without_grant(connection),
            waiting=links.list_waiting(connection, limit=2 * PAYMENTS),
            findings=[each.says for each in check_waiting(connection)],
            explained=sorted([*list_waiting(state), *list_on_purpose(state)]),
        )


@pytest.fixture
def without_archives(
    another_engine: MadeEngine, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Sequence[Delivery]], Engine]:
    """Record deliveries in a database in which nothing is archived."""

    def recorded(deliveries: Sequence[Delivery]) -> Engine:
        engine = another_engine("without_archives")
        with monkeypatch.context() as patch:
            patch.setattr(batch_state, "ARCHIVE_ABOVE", 10**9)
            record(ledger_on(engine), deliveries)
        return engine

    return recorded


def link_customer(ledger: Ledger) -> None:
    link = OperatorLink(id="link_1", user_id="usr_1", target="cus_1", realm=TEST[0])
    stated = NewStatement(id=EventId("op_1"), subject=link, actor="ada", reason="by mail")
    ledger.transact(lambda connection: ledger.state(connection, [stated]))


def test_a_further_payment_of_a_customer_without_user_loads_and_writes_little(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(ledger, bare_payments())
    sizes = loaded(monkeypatch)

    ledger.record([paid(PAYMENTS)])

    assert sizes[0] < PAYMENTS / 2
    [waiting] = rows(engine, "SELECT count(*) FROM parties, jsonb_object_keys(candidates)")
    assert waiting < PAYMENTS / 2
    assert rows(engine, NOTES) == [2 * (PAYMENTS + 1 - waiting)]  # each lacks a user and a plan


def test_every_question_about_notes_counts_archived_ones(
    ledger: Ledger,
    engine: Engine,
    without_archives: Callable[[Sequence[Delivery]], Engine],
) -> None:
    deliveries = bare_payments()
    record(ledger, deliveries)
    whole = without_archives(deliveries)

    assert rows(engine, NOTES)[0] > PAYMENTS
    assert rows(whole, NOTES) == [0]
    found = notes_found(engine)
    assert found == notes_found(whole)
    assert found.counted["unnamed"] == found.waiting[1] == PAYMENTS
    assert found.counted["no_user"] == found.waiting[2] == 1
    assert any("pi_cus_1_0" in each for each in found.explained)


def test_archived_checkouts_and_payments_that_await_an_invoice_are_named_as_well(
    ledger: Ledger,
    engine: Engine,
    without_archives: Callable[[Sequence[Delivery]], Engine],
) -> None:
    deliveries = assumed_and_awaiting()
    record(ledger, deliveries)
    whole = without_archives(deliveries)

    kinds = rows(engine, "SELECT DISTINCT kind FROM archive_notes ORDER BY 1")
    assert {"awaiting_invoice", "without_line_items"} <= set(kinds)
    found = notes_found(engine, "usr_123")
    assert found == notes_found(whole, "usr_123")
    assert found.counted["no_invoice"] == found.counted["assumed_lines"] == PAYMENTS


def test_a_link_of_the_customer_gives_all_to_its_user_and_leaves_no_note_of_waiting(
    ledger: Ledger, engine: Engine
) -> None:
    record(ledger, bare_payments())

    link_customer(ledger)

    assert rows(engine, "SELECT DISTINCT user_id FROM payments") == ["usr_1"]
    found = notes_found(engine)
    assert found.waiting == ([], 0, 0)
    assert found.counted["no_user"] == 0
    assert found.counted["unnamed"] == PAYMENTS
    assert rows(engine, "SELECT DISTINCT kind FROM archive_notes") == ["without_grant"]


def test_a_first_subscription_explains_all_payments_and_no_note_is_left(
    ledger: Ledger, engine: Engine
) -> None:
    record(ledger, bare_payments())
    link_customer(ledger)
    begun: dict[str, Any] = {
        "id": "sub_1",
        "object": "subscription",
        "status": "active",
        "customer": "cus_1",
    }
    begun |= {"items": {"data": [{"id": "si_1", "price": {"id": "price_premium_monthly"}}]}}

    ledger.record([delivery(event("customer.subscription.created", begun))])

    assert rows(engine, NOTES) == [0]
    assert notes_found(engine).counted["unnamed"] == 0
    assert rows(engine, "SELECT count(*) FROM payments WHERE archive <> ''")[0] > PAYMENTS / 2


def test_notes_of_a_party_that_becomes_part_of_another_go_with_it(
    ledger: Ledger, engine: Engine
) -> None:
    record(ledger, bare_payments())
    record(ledger, bare_payments("cus_2"))
    before = notes_found(engine).counted
    connects: dict[str, Any] = {
        "id": "ch_x",
        "object": "charge",
        "customer": "cus_2",
        "status": "failed",
    }
    connects |= {"amount": 1, "currency": "usd", "payment_intent": "pi_cus_1_3", "metadata": {}}

    ledger.record([delivery(event("charge.failed", connects))])

    assert rows(engine, "SELECT DISTINCT party FROM archive_notes") == ["test:cus_1"]
    assert notes_found(engine).counted == before | {"no_user": 1}


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection


def test_notes_of_parties_come_from_their_row_and_from_their_archives(
    connection: Connection, ledger: Ledger
) -> None:
    record(ledger, bare_payments())

    found = notes_of_parties(connection, ["test:cus_1", "test:cus_9"])

    names = [f"pi_cus_1_{number}" for number in range(PAYMENTS)]
    notes = found["test:cus_1"]
    assert notes[NoteKind.CANDIDATES] == {name: [] for name in names}
    assert notes[NoteKind.WITHOUT_GRANT] == dict.fromkeys(names, "unnamed")
    assert notes[NoteKind.AWAITING_INVOICE] == {}
    assert not any(found["test:cus_9"].values())


def test_asking_for_a_party_reads_its_own_notes_by_indexes(connection: Connection) -> None:
    connection.execute(
        text(
            "INSERT INTO archive_notes SELECT 'p' || n, 'a', 'candidates', 'pi_1', '[]'"
            " FROM generate_series(1, 5000) AS n"
        )
    )
    connection.execute(text("ANALYZE archive_notes"))

    query = f"EXPLAIN SELECT * FROM {ALL_NOTES} WHERE party = 'p1'"  # noqa: S608 - our own words
    plan = connection.execute(text(query))

    assert "archive_notes_pkey" in " ".join(plan.scalars())
