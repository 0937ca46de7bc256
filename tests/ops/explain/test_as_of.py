"""Whatever happened, an answer for a moment that is over is what the view said at that moment."""

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
from billing.projection.effective import Effective
from ops.demo.plans import PLANS
from ops.explain.as_of import worth
from ops.queries.audit_history import history_of
from ops.samples.lifecycles.registry import SCENARIOS
from runtime.ledger import catalogues
from runtime.ledger.catalogues import Catalogues
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.prepare import Scope
from runtime.plans_file import read_plans
from tests.ops.queries.seeded_database import Books
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import checkout, customer, delivery, event, intent

pytestmark = pytest.mark.servers

USERS = ("usr_1", "usr_2")
Noted = tuple[datetime, str, dict[str, Effective]]


def seen(books: Books) -> list[Noted]:
    """What the view says of everybody now, and when that is."""
    query = "SELECT feature, value, expires_at FROM effective_entitlements WHERE user_id = :user"
    noted = []
    for user in USERS:
        with books.engine.connect() as connection:
            now = connection.scalar(text("SELECT now()"))
            found = connection.execute(text(query), {"user": user})
            values = {row[0]: Effective(value=row[1], expires_at=row[2]) for row in found}
            noted.append((now, user, values))
    return noted


def told(books: Books, at: datetime, user: str) -> dict[str, Effective]:
    with books.engine.connect() as connection:
        return worth(history_of(connection, user, at))


def parties(books: Books) -> list[PartyId]:
    with books.engine.connect() as connection:
        return [PartyId(each) for each in connection.scalars(text("SELECT party FROM parties"))]


def other_plans(books: Books, randomly: Random) -> None:
    """A plan may vanish, seats may begin to add up, a feature may be worth more."""
    document: dict[str, Any] = write_catalogue(read_plans(PLANS))
    premium = document["plans"]["premium"]
    premium["features"]["max_devices"] = randomly.choice([3, 5, 8])
    premium["per_seat"] = randomly.choice([[], ["max_devices"]])
    if randomly.random() < 0.5:
        document["plans"]["once"] = document["plans"].pop("lifetime")
    catalogues.switch(books.engine, read_catalogue(document), actor="ada", reason="why")
    ledger_on(books.engine).reproject(parties(books), actor="ada", reason="why")


def rebuilt(books: Books, _randomly: Random) -> None:
    """Nothing differs, so nothing is written."""
    Rebuilder(
        engine=books.engine,
        catalogues=Catalogues(),
        scope=Scope(livemode="any", accounts=frozenset()),
        actor="ada",
        reason="why",
        dry_run=False,
    ).from_facts(parties(books))


def time_passed(books: Books, _randomly: Random) -> None:
    ledger_on(books.engine).project_due(1000)


def moved(books: Books, randomly: Random) -> None:
    """A customer changes hands, and with it everything said before."""
    with books.engine.connect() as connection:
        known = sorted(connection.scalars(text("SELECT stripe_customer_id FROM customers")))
    if known:
        whose = customer(randomly.choice(known), randomly.choice(USERS))
        books.settle([parse(event("customer.updated", whose))])


STEPS: tuple[Callable[[Books, Random], None], ...] = (other_plans, rebuilt, time_passed, moved)


def lives(books: Books, randomly: Random) -> Iterator[None]:
    """Some lifecycles at once, a few events at a time and in no order, and what else happens."""
    names = randomly.sample(sorted(SCENARIOS), 4)
    told = [
        event
        for number, name in enumerate(names)
        for event in books.compose(name, user=randomly.choice(USERS), seed=f"{number}").events
    ]
    for place in range(len(told) - 1):
        if randomly.random() < 0.3:
            told[place], told[place + 1] = told[place + 1], told[place]
    while told:
        batch = randomly.randint(1, 3)
        books.record(told[:batch])
        del told[:batch]
        yield
        if randomly.random() < 0.15:
            randomly.choice(STEPS)(books, randomly)
            yield


@pytest.mark.parametrize("seed", range(6))
def test_what_is_told_of_every_moment_is_what_held_then(books: Books, seed: int) -> None:
    randomly = Random(seed)  # noqa: S311 - no secret is made of it
    noted = [each for _ in lives(books, randomly) for each in seen(books)]

    wrong = [
        (at, user, values, found)
        for at, user, values in noted
        if (found := told(books, at, user)) != values
    ]

    assert wrong == []
    assert len({str(values) for _, _, values in noted}) > 1


def test_an_end_counts_at_its_instant_whenever_it_is_written_down(books: Books) -> None:
    """Before, at once after, and after the clock's own entry about it."""
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
    assert ledger.project_due(10) == 1
    noted += seen(books)

    before, over, after = (each for each in noted if each[1] == "usr_1")
    assert (before[2]["max_devices"].value, over[2], after[2]) == (5, {}, {})
    for at, user, values in noted:
        assert told(books, at, user) == values


def test_a_purchase_that_got_another_name_and_was_refunded_gives_nothing_under_either(
    books: Books,
) -> None:
    """Its payment is learned late, and its row takes the payment's name."""
    at = int(time.time()) - 100
    whose = {"client_reference_id": "usr_1", "metadata": {"plan_code": "lifetime"}}
    told_of = [
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
    for body in told_of:
        ledger_on(books.engine).record([delivery(body)])
        noted += seen(books)

    held = [bool(values) for _, user, values in noted if user == "usr_1"]
    assert held == [True, True, True, False]
    for moment, user, values in noted:
        assert told(books, moment, user) == values
