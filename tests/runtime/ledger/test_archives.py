"""Old payments of a customer go into archives, and come out when an event asks for them."""

from typing import Any

import pytest
from sqlalchemy import Engine

from billing.ids import PartyId
from runtime.ledger.batch_state import ARCHIVE_ABOVE, ARCHIVE_EVERY
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.decide import decide
from runtime.ledger.deliveries import ALREADY_APPLIED
from runtime.ledger.load_past import ArchiveRequest
from runtime.ledger.maintenance.reproject import reproject
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import (
    NOW,
    customer,
    delivery,
    event,
    intent,
    refunded,
    rows,
)

pytestmark = pytest.mark.servers

PAYMENTS = ARCHIVE_ABOVE + 12
ARCHIVED = "SELECT count(*) FROM {} WHERE archive <> ''"


def pay(ledger: Ledger, *numbers: int, amount: int = 2999) -> None:
    """Record the payments of these numbers, each an hour after the one before."""
    deliveries = []
    for number in numbers:
        stated = {"plan_code": "premium", "user_id": "usr_1"}
        paid = intent(f"pi_{number}", amount, customer="cus_1", metadata=stated)
        at = NOW - (1000 - number) * 3600
        deliveries.append(delivery(event("payment_intent.succeeded", paid, at=at)))
    ledger.record(deliveries)


@pytest.fixture
def old_customer(ledger: Ledger) -> None:
    """Record more payments of one customer than stay loaded."""
    pay(ledger, *range(PAYMENTS))


def count(engine: Engine, table: str) -> int:
    return int(rows(engine, ARCHIVED.format(table))[0])


def loaded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of how many facts each following transaction had loaded at its end."""
    sizes: list[int] = []

    def note(*given: object, **named: object) -> object:
        decided = decide(*given, **named)  # type: ignore[arg-type]
        sizes.extend(len(each.facts) for each in decided.batch.parties.values())
        return decided

    monkeypatch.setattr("runtime.ledger.record.decide", note)
    return sizes


def test_rows_and_facts_of_old_payments_are_archived_and_stay_where_they_are(
    old_customer: None, engine: Engine
) -> None:
    archived = count(engine, "facts")

    assert archived > PAYMENTS / 2
    assert count(engine, "payments") == count(engine, "purchases") == archived
    assert count(engine, "user_entitlements") == archived
    assert rows(engine, "SELECT count(*) FROM payments WHERE user_id = 'usr_1'") == [PAYMENTS]


def test_a_further_payment_loads_what_is_not_archived(
    old_customer: None, ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = rows(engine, "SELECT count(*) FROM facts WHERE archive = ''")[0]
    sizes = loaded(monkeypatch)

    pay(ledger, PAYMENTS)

    assert sizes == [live + 1]


def test_a_refund_takes_its_payment_out_of_the_archive_and_nothing_else(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    before = count(engine, "facts")
    [name] = rows(engine, "SELECT payment_ref FROM payments WHERE archive <> '' LIMIT 1")

    ledger.record([delivery(event("charge.refunded", refunded(name)))])

    assert count(engine, "facts") == before - 1
    query = "SELECT archive, amount_refunded_minor FROM payments WHERE payment_ref = :name"
    assert rows(engine, query, name=name) == [("", 2999)]
    query = "SELECT archive, active FROM user_entitlements WHERE source = :name"
    assert rows(engine, query, name=name) == [("", False)]


@pytest.mark.parametrize("facts", [2, 3, 4])
def test_what_was_taken_out_goes_back_however_many_facts_it_brings(
    ledger: Ledger, engine: Engine, facts: int
) -> None:
    """Grow by what comes and by what is taken out, so that no multiple of anything is met."""
    live = "SELECT count(*) FROM facts WHERE archive = ''"
    for number in range(PAYMENTS):
        steps = [("charge.succeeded", charged(number)), ("charge.updated", charged(number))]
        pay(ledger, number)
        for place, (kind, stated) in enumerate(steps[: facts - 2]):
            at = NOW - (1000 - number) * 3600 + place + 1
            ledger.record([delivery(event(kind, stated, at=at))])

    for number in range(PAYMENTS - 4):
        ledger.record([delivery(event("charge.refunded", refunded(f"pi_{number}")))])

    assert rows(engine, live)[0] < ARCHIVE_ABOVE + ARCHIVE_EVERY + 2 * facts


def charged(number: int) -> dict[str, Any]:
    return {**refunded(f"pi_{number}"), "amount_refunded": 0, "refunded": False}


def test_a_customer_that_is_another_users_now_moves_with_all_that_is_archived(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    moved = customer("cus_1", "usr_1")
    ledger.record([delivery(event("customer.updated", moved, at=NOW - 2000 * 3600))])
    moved = customer("cus_1", "usr_2")

    ledger.record([delivery(event("customer.updated", moved, at=NOW))])

    assert rows(engine, "SELECT DISTINCT user_id FROM payments") == ["usr_2"]
    query = "SELECT DISTINCT user_id FROM user_entitlements WHERE active"
    assert rows(engine, query) == ["usr_2"]
    assert count(engine, "facts") > PAYMENTS / 2


def test_an_event_that_is_replayed_after_it_was_archived_changes_nothing(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    query = "SELECT payload FROM stripe_events ORDER BY created_at LIMIT 1 OFFSET 5"
    [body] = rows(engine, query)
    before = rows(engine, "SELECT payment_ref, amount_minor, user_id FROM payments ORDER BY 1")

    [settled] = ledger.record([delivery(body.encode(), origin="replay")])

    assert settled.reason == ALREADY_APPLIED
    assert before == rows(
        engine, "SELECT payment_ref, amount_minor, user_id FROM payments ORDER BY 1"
    )


def test_an_invoice_pairs_with_the_archived_payment_of_its_minute(
    ledger: Ledger, engine: Engine
) -> None:
    pay(ledger, 0)
    pay(ledger, 1, amount=777)
    pay(ledger, *range(2, PAYMENTS))
    [archive] = rows(engine, "SELECT archive FROM payments WHERE payment_ref = 'pi_1'")
    assert archive
    at = NOW - 999 * 3600 + 20
    invoice = {
        "id": "in_1",
        "object": "invoice",
        "customer": "cus_1",
        "status": "paid",
        "amount_paid": 777,
        "total": 777,
        "currency": "usd",
        "status_transitions": {"paid_at": at},
        "lines": {"data": [], "has_more": False},
    }

    ledger.record([delivery(event("invoice.paid", invoice, at=at))])

    query = "SELECT payment_ref, invoice_id, inferred FROM payments WHERE amount_minor = 777"
    assert rows(engine, query) == [("pi_1", "in_1", True)]


def test_two_customers_that_become_one_party_keep_their_archives_apart_from_nothing(
    old_customer: None, ledger: Ledger, engine: Engine
) -> None:
    other = intent("pi_x", customer="cus_2", metadata={"plan_code": "premium"})
    ledger.record([delivery(event("payment_intent.succeeded", other))])
    names = {"object": "charge", "id": "ch_x", "customer": "cus_2", "payment_intent": "pi_3"}

    ledger.record([delivery(event("charge.succeeded", refunded("pi_3") | names))])

    assert len(rows(engine, "SELECT party FROM parties")) == 1
    assert len(rows(engine, "SELECT DISTINCT party FROM archive_keys")) == 1
    assert count(engine, "facts") > PAYMENTS / 2


def test_requests_add_up() -> None:
    one = ArchiveRequest(whole=frozenset({"a"}), keys={"b": frozenset({"x"})})  # type: ignore[arg-type, dict-item]
    other = ArchiveRequest(keys={"b": frozenset({"y"}), "c": frozenset({"z"})})  # type: ignore[dict-item]

    both = one | other

    assert both.whole == {"a"}
    assert both.keys == {"b": {"x", "y"}, "c": {"z"}}


def test_a_party_from_before_archives_is_archived_when_it_is_projected_again(
    ledger: Ledger, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before_archives:
        before_archives.setattr("runtime.ledger.batch_state.ARCHIVE_ABOVE", 1000)
        pay(ledger, *range(PAYMENTS))
    assert count(engine, "facts") == 0

    reproject(engine, CatalogueCache(), [PartyId("test:cus_1")], actor="ada", reason="look again")

    assert count(engine, "facts") > PAYMENTS / 2
    assert count(engine, "payments") == count(engine, "facts")
