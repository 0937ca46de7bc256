"""The answer for a past moment equals what the view contained at that moment."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from billing.catalogue import read_catalogue, write_catalogue
from billing.envelope import parse
from billing.ids import PartyId
from billing.projection.effective import EffectiveValue
from ops.demo.plans import PLANS
from ops.explain.as_of import effective_value
from ops.queries.audit_history import load_access_history
from ops.samples.lifecycles.registry import SCENARIOS
from runtime.ledger import catalogues
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.maintenance.reproject import project_due, reproject
from runtime.ledger.prepare import Scope
from runtime.plans_file import read_plans
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import checkout, customer, delivery, event, intent

pytestmark = pytest.mark.servers

USERS = ("usr_1", "usr_2")
Noted = tuple[datetime, str, dict[str, EffectiveValue]]


def seen(books: SeededDatabase) -> list[Noted]:
    """Read the view for every user, with the time of reading."""
    query = "SELECT feature, value, expires_at FROM effective_entitlements WHERE user_id = :user"
    noted = []
    for user in USERS:
        with books.engine.connect() as connection:
            now = connection.scalar(text("SELECT now()"))
            found = connection.execute(text(query), {"user": user})
            values = {row[0]: EffectiveValue(value=row[1], expires_at=row[2]) for row in found}
            noted.append((now, user, values))
    return noted


def value_as_of(books: SeededDatabase, at: datetime, user: str) -> dict[str, EffectiveValue]:
    with books.engine.connect() as connection:
        return effective_value(load_access_history(connection, user, at))


def parties(books: SeededDatabase) -> list[PartyId]:
    with books.engine.connect() as connection:
        return [PartyId(each) for each in connection.scalars(text("SELECT party FROM parties"))]


def other_plans(books: SeededDatabase, randomly: Random) -> None:
    """Apply plans that may lack a plan, count seats, or give more of a feature."""
    document: dict[str, Any] = write_catalogue(read_plans(PLANS))
    premium = document["plans"]["premium"]
    premium["features"]["max_devices"] = randomly.choice([3, 5, 8])
    premium["per_seat"] = randomly.choice([[], ["max_devices"]])
    if randomly.random() < 0.5:
        document["plans"]["once"] = document["plans"].pop("lifetime")
    catalogues.switch(books.engine, read_catalogue(document), actor="ada", reason="why")
    reproject(books.engine, CatalogueCache(), parties(books), actor="ada", reason="why")


def rebuilt(books: SeededDatabase, _randomly: Random) -> None:
    """Rebuild all parties, which changes nothing."""
    Rebuilder(
        engine=books.engine,
        catalogues=CatalogueCache(),
        scope=Scope(livemode="any", accounts=frozenset()),
        actor="ada",
        reason="why",
        dry_run=False,
    ).from_facts(parties(books))


def time_passed(books: SeededDatabase, _randomly: Random) -> None:
    project_due(books.engine, CatalogueCache(), 1000)


def moved(books: SeededDatabase, randomly: Random) -> None:
    """Assign a customer to another user, with all its earlier events."""
    with books.engine.connect() as connection:
        known = sorted(connection.scalars(text("SELECT stripe_customer_id FROM customers")))
    if known:
        whose = customer(randomly.choice(known), randomly.choice(USERS))
        books.settle([parse(event("customer.updated", whose))])


STEPS: tuple[Callable[[SeededDatabase, Random], None], ...] = (
    other_plans,
    rebuilt,
    time_passed,
    moved,
)


def lives(books: SeededDatabase, randomly: Random) -> Iterator[None]:
    """Record several lifecycles, a few events at a time and out of order, with other steps."""
    names = randomly.sample(sorted(SCENARIOS), 4)
    value_as_of = [
        event
        for number, name in enumerate(names)
        for event in books.compose(name, user=randomly.choice(USERS), seed=f"{number}").events
    ]
    for place in range(len(value_as_of) - 1):
        if randomly.random() < 0.3:
            value_as_of[place], value_as_of[place + 1] = value_as_of[place + 1], value_as_of[place]
    while value_as_of:
        batch = randomly.randint(1, 3)
        books.record(value_as_of[:batch])
        del value_as_of[:batch]
        yield
        if randomly.random() < 0.15:
            randomly.choice(STEPS)(books, randomly)
            yield


@pytest.mark.parametrize("seed", range(6))
def test_the_answer_for_every_moment_is_what_held_then(books: SeededDatabase, seed: int) -> None:
    randomly = Random(seed)  # noqa: S311 - no secret is made of it
    noted = [each for _ in lives(books, randomly) for each in seen(books)]

    wrong = [
        (at, user, values, found)
        for at, user, values in noted
        if (found := value_as_of(books, at, user)) != values
    ]

    assert wrong == []
    assert len({str(values) for _, _, values in noted}) > 1


def test_an_end_counts_at_its_instant_whenever_it_is_written_down(books: SeededDatabase) -> None:
    """Compare before the end, right after it, and after the clock's own entry about it."""
    ends = int(time.time()) + 2
    subscription = {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "cancel_at": ends,
        "metadata": {"user_id": "usr_1"},
        "items": {"data": [{"price": {"id": "price_premium_monthly"}, "quantity": 1}]},
    }
    ledger = ledger_on(books.engine)
    ledger.record([delivery(event("customer.subscription.created", subscription))])
    noted = seen(books)
    time.sleep(max(ends - time.time(), 0) + 0.1)
    noted += seen(books)
    assert project_due(books.engine, CatalogueCache(), 10) == 1
    noted += seen(books)

    before, over, after = (each for each in noted if each[1] == "usr_1")
    assert (before[2]["max_devices"].value, over[2], after[2]) == (5, {}, {})
    for at, user, values in noted:
        assert value_as_of(books, at, user) == values


def test_a_purchase_that_got_another_name_and_was_refunded_gives_nothing_under_either(
    books: SeededDatabase,
) -> None:
    """Record a purchase whose payment arrives late, so that its row takes the payment's id."""
    at = int(time.time()) - 100
    whose = {"client_reference_id": "usr_1", "metadata": {"plan_code": "lifetime"}}
    bodies = [
        event("checkout.session.completed", checkout("cs_1", payment_intent=None, **whose), at=at),
        event(
            "checkout.session.async_payment_succeeded",
            checkout("cs_1", payment_intent="pi_1", **whose),
            at=at + 10,
        ),
        event("payment_intent.succeeded", intent("pi_1"), at=at + 10),
        event(
            "refund.created",
            {
                "id": "re_1",
                "object": "refund",
                "status": "succeeded",
                "amount": 2999,
                "currency": "usd",
                "payment_intent": "pi_1",
            },
            at=at + 20,
        ),
    ]
    noted = []
    for body in bodies:
        ledger_on(books.engine).record([delivery(body)])
        noted += seen(books)

    held = [bool(values) for _, user, values in noted if user == "usr_1"]
    assert held == [True, True, True, False]
    for moment, user, values in noted:
        assert value_as_of(books, moment, user) == values
