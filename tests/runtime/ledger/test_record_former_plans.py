"""Rows of plans that left the catalogue stay, in every order of events and plans."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine

from billing.catalogue import Catalogue, read_catalogue, write_catalogue
from billing.ids import PartyId
from runtime.ledger import catalogues
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.rebuild import Rebuilder
from runtime.ledger.maintenance.reproject import reproject
from runtime.ledger.prepare import Scope
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import (
    checkout,
    contents,
    customer,
    delivery,
    event,
    example_plans,
    intent,
    rows,
)

pytestmark = pytest.mark.servers

GRANTS = (
    "SELECT user_id, source, plan_code, active, entitlements, because FROM user_entitlements"
    " ORDER BY 1, 2, 3"
)


def without_premium() -> Catalogue:
    """Return the plans of the shop without one that is no longer sold; what it gave is renamed."""
    document = write_catalogue(example_plans())
    document["plans"]["spare"] = {**document["plans"].pop("premium"), "prices": []}
    return read_catalogue(document)


def with_other_seats() -> Catalogue:
    document = write_catalogue(example_plans())
    document["plans"]["premium"]["per_seat"] = ["max_devices"]
    return read_catalogue(document)


def follow(engine: Engine, plans: Catalogue) -> None:
    """Apply plans as ``paidup plans apply`` does."""
    catalogues.switch(engine, plans, actor="ada", reason="autumn")
    parties = [PartyId(each) for each in rows(engine, "SELECT party FROM parties")]
    reproject(engine, CatalogueCache(), parties, actor="ada", reason="autumn")


def bought_and_moved() -> list[bytes]:
    """Return a subscription that changes hands and a purchase that learns its payment late."""
    subscription = {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "metadata": {},
        "items": {"data": [{"price": {"id": "price_premium_monthly"}, "quantity": 1}]},
    }
    unnamed = checkout("cs_1", payment_intent=None, customer="cus_1")
    named = checkout("cs_1", customer="cus_1", payment_intent="pi_1")
    return [
        event("customer.created", customer("cus_1", "usr_1"), id="evt_a", created=1_790_000_000),
        event("customer.subscription.created", subscription, id="evt_b", created=1_790_000_005),
        event("checkout.session.completed", unnamed, id="evt_c", created=1_790_000_010),
        event("checkout.session.async_payment_succeeded", named, id="evt_d", created=1_790_000_020),
        event("payment_intent.succeeded", intent("pi_1"), id="evt_e", created=1_790_000_020),
        event("customer.updated", customer("cus_1", "usr_2"), id="evt_f", created=1_790_000_030),
    ]


def record(engine: Engine, bodies: Sequence[bytes]) -> None:
    for body in bodies:
        ledger_on(engine).record([delivery(body)])


def test_the_row_of_a_plan_that_is_gone_stays_and_the_audit_says_who_took_it(
    engine: Engine,
) -> None:
    record(engine, bought_and_moved()[:2])

    follow(engine, without_premium())

    (row,) = rows(engine, GRANTS)
    assert row[:4] == ("usr_1", "sub_1", "premium", False)
    assert row[4] == {"max_devices": 5, "signals_enabled": True}
    assert "granted plan premium under an earlier catalogue" in row[5]
    (entry,) = rows(
        engine,
        "SELECT actor, reason, before ->> 'active', after ->> 'active' FROM audit_logs"
        " WHERE action = 'entitlement.revoked'",
    )
    assert entry == ("ada", "autumn", "true", "false")
    assert rows(engine, "SELECT unknown_prices FROM parties") == [["price_premium_monthly"]]


def test_it_is_the_same_whether_events_come_before_the_change_of_plans_or_after(
    another_engine: Callable[[str], Engine],
) -> None:
    bodies = bought_and_moved()
    left: list[Any] = []
    for early in range(len(bodies) + 1):
        engine = another_engine(f"early_{early}")
        record(engine, bodies[:early])
        follow(engine, without_premium())
        record(engine, bodies[early:][::-1])
        left.append(rows(engine, GRANTS))

    assert all(each == left[0] for each in left)
    assert [row[:4] for row in left[0]] == [
        (user, source, "premium", False)
        for user in ("usr_1", "usr_123", "usr_2")
        for source in ("pi_1", "sub_1")
    ]


def test_a_plan_that_comes_back_grants_again(engine: Engine) -> None:
    record(engine, bought_and_moved()[:2])
    before = rows(engine, GRANTS)

    follow(engine, without_premium())
    follow(engine, example_plans())

    assert rows(engine, GRANTS) == before


def test_a_rebuild_finds_such_rows_as_they_should_be(engine: Engine) -> None:
    record(engine, bought_and_moved())
    follow(engine, without_premium())
    before = contents(engine)
    rebuilder = Rebuilder(
        engine=engine,
        catalogues=CatalogueCache(),
        scope=Scope(livemode="any", accounts=frozenset()),
        actor="ada",
        reason="why",
        dry_run=False,
    )

    rebuilt = rebuilder.from_facts([PartyId("test:cus_1")])

    assert rebuilt.decisions == []
    assert contents(engine) == before


def test_numbers_that_begin_to_add_up_are_a_change_that_is_audited(engine: Engine) -> None:
    record(engine, bought_and_moved()[:2])

    follow(engine, with_other_seats())

    (entry,) = rows(
        engine,
        "SELECT before -> 'per_seat', after -> 'per_seat', after -> 'entitlements'"
        " FROM audit_logs WHERE action = 'entitlement.changed'",
    )
    worth = {"max_devices": 5, "signals_enabled": True}
    assert entry == ([], ["max_devices"], worth)


@pytest.mark.parametrize("together", [True, False])
def test_a_change_has_the_version_of_the_plans_beside_both_rows(
    engine: Engine, *, together: bool
) -> None:
    record(engine, bought_and_moved()[:2])
    catalogues.switch(engine, with_other_seats(), actor="ada", reason="autumn")
    bodies = [
        event("customer.updated", customer("cus_1", user), id=f"evt_{user}", created=created)
        for user, created in (("usr_1", 1_790_000_040), ("usr_2", 1_790_000_041))
    ]

    for some in [bodies] if together else [[body] for body in bodies]:
        ledger_on(engine).record([delivery(body) for body in some])

    versions = (
        "SELECT action, before -> 'catalogue_version', after -> 'catalogue_version'"
        " FROM audit_logs WHERE target_type = 'entitlement' ORDER BY id"
    )
    assert [tuple(row) for row in rows(engine, versions)] == [
        ("entitlement.granted", None, 1),
        ("entitlement.changed", 1, 2),
        ("entitlement.revoked", 2, 2),
        ("entitlement.granted", None, 2),
    ]
