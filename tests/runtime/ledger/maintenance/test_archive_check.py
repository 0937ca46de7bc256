"""A rebuild finds archives that are not what the facts say, and makes them again."""

import pytest
from sqlalchemy import Engine, text

from billing.ids import PartyId
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.rebuild import Rebuilder, Rebuilt
from runtime.ledger.prepare import Scope
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import NOW, customer, delivery, event, intent, rows
from tests.runtime.ledger.moves_in_steps import end_move, every_past_is_long
from tests.runtime.ledger.test_archives import ARCHIVED, PAYMENTS, pay

pytestmark = pytest.mark.servers

PARTY = PartyId("test:cus_1")


@pytest.fixture(autouse=True)
def old_customer(ledger: Ledger) -> None:
    """Record more payments of one customer than stay loaded."""
    pay(ledger, *range(PAYMENTS))


def rebuild(engine: Engine, *, dry_run: bool = False, party: PartyId = PARTY) -> Rebuilt:
    rebuilder = Rebuilder(
        engine=engine,
        catalogues=CatalogueCache(),
        scope=Scope(livemode="any", accounts=frozenset()),
        actor="ada",
        reason="look again",
        dry_run=dry_run,
    )
    return rebuilder.from_facts([party])


def test_archives_that_were_not_altered_are_found_right(engine: Engine) -> None:
    assert rebuild(engine).archives == []
    assert rebuild(engine).decisions == []


@pytest.mark.parametrize(
    "alteration",
    [
        "UPDATE facts SET archive = '' WHERE archive <> ''",
        "UPDATE payments SET archive = ''",
        "UPDATE facts SET archive = 'x' WHERE archive = ''",
        "UPDATE user_entitlements SET archive = 'x'",
        "INSERT INTO archive_notes VALUES ('test:cus_1', 'x', 'awaiting_invoice', 'pi_1', NULL)",
        'UPDATE parties SET dependencies = \'{"test note x": "unknown_price"}\'',
    ],
)
def test_altered_archives_are_named_and_made_again(engine: Engine, alteration: str) -> None:
    before = rows(engine, ARCHIVED.format("facts"))
    with engine.begin() as connection:
        connection.execute(text(alteration.replace(":", r"\:")))

    assert rebuild(engine, dry_run=True).archives == [PARTY]
    assert rebuild(engine, dry_run=True).archives == [PARTY]
    rebuild(engine)

    assert rebuild(engine, dry_run=True).archives == []
    assert rows(engine, ARCHIVED.format("facts")) == before


def test_archives_of_a_party_whose_row_was_lost_are_made_again(engine: Engine) -> None:
    before = rows(engine, ARCHIVED.format("payments"))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM parties"))

    assert rebuild(engine).decisions == []

    assert rows(engine, ARCHIVED.format("payments")) == before
    assert rebuild(engine).archives == []


def test_an_archived_row_that_was_altered_is_put_right(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE payments SET amount_minor = 1 WHERE archive <> ''"))

    rebuild(engine)

    assert rows(engine, "SELECT DISTINCT amount_minor FROM payments") == [2999]
    assert rebuild(engine).decisions == []


def test_archives_that_are_being_updated_are_named_as_such_and_not_as_wrong(
    engine: Engine, ledger: Ledger
) -> None:
    """Notes of payments without a user stay in their archives until these are updated."""
    named = {"customer": "cus_2", "metadata": {"plan_code": "premium"}}
    paid = [
        event("payment_intent.succeeded", intent(f"pi_x{n}", **named), at=NOW - (1000 - n) * 3600)
        for n in range(PAYMENTS)
    ]
    ledger.record([delivery(body) for body in paid])
    with every_past_is_long():
        ledger.record([delivery(event("customer.updated", customer("cus_2", "usr_2")))])

    found = rebuild(engine, dry_run=True, party=PartyId("test:cus_2"))

    assert (found.updating, found.archives) == (["test:cus_2"], [])
    end_move(engine)
    found = rebuild(engine, dry_run=True, party=PartyId("test:cus_2"))
    assert (found.updating, found.archives, found.decisions) == ([], [], [])
