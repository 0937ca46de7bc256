"""Time and plans change access without any event."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from billing.catalogue import Catalogue, read_catalogue, write_catalogue
from billing.ids import PartyId
from billing.projection.party import PartyFacts
from billing.rows import Projection
from runtime.ledger import catalogues, locks
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.reproject import project_due, reproject
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import (
    NOW,
    checkout,
    contents,
    customer,
    delivery,
    event,
    example_plans,
    rows,
)

pytestmark = pytest.mark.servers


@pytest.fixture
def subscribe(ledger: Ledger) -> Callable[[int, int], None]:
    """Give a customer a subscription that ends some seconds from now."""

    def subscribe(number: int, seconds: int) -> None:
        ledger.record(
            [
                delivery(event("customer.created", customer(f"cus_{number}", f"usr_{number}"))),
                delivery(event("customer.subscription.updated", _ending(number, NOW + seconds))),
            ]
        )

    return subscribe


def _ending(number: int, cancel_at: int) -> dict[str, object]:
    return {
        "id": f"sub_{number}",
        "object": "subscription",
        "customer": f"cus_{number}",
        "status": "active",
        "cancel_at": cancel_at,
        "cancel_at_period_end": False,
        "metadata": {},
        "items": {"data": [{"price": {"id": "price_premium_monthly"}, "quantity": 1}]},
    }


def _let_time_pass(engine: Engine) -> None:
    """Set every future end to now, in the facts too, as if it had always been so."""
    past = datetime.now(UTC).isoformat()
    with engine.begin() as connection:
        connection.execute(text("UPDATE parties SET due_at = now() WHERE due_at IS NOT NULL"))
        connection.execute(
            text(
                "UPDATE facts SET fact = jsonb_set(fact, '{fields,cancel_at}',"
                " to_jsonb(CAST(:past AS text))) WHERE kind = 'subscription'"
            ),
            {"past": past},
        )


def test_a_grant_that_ends_is_due_at_its_end(
    subscribe: Callable[[int, int], None], engine: Engine
) -> None:
    subscribe(1, 3600)

    (due,) = rows(engine, "SELECT due_at FROM parties")
    assert due == datetime.fromtimestamp(NOW + 3600, UTC)
    assert rows(engine, "SELECT expires_at FROM user_entitlements") == [due]


def test_what_has_run_out_is_revoked_by_the_clock(
    subscribe: Callable[[int, int], None], ledger: Ledger, engine: Engine
) -> None:
    subscribe(1, 3600)
    _let_time_pass(engine)

    assert project_due(engine, CatalogueCache(), 100) == 1

    assert rows(engine, "SELECT active FROM user_entitlements") == [False]
    assert rows(engine, "SELECT due_at FROM parties") == [None]
    query = "SELECT action, user_id, event_id FROM audit_logs WHERE actor = 'clock'"
    assert rows(engine, query) == [("entitlement.revoked", "usr_1", None)]
    assert project_due(engine, CatalogueCache(), 100) == 0


def test_no_more_than_asked_for(
    subscribe: Callable[[int, int], None], ledger: Ledger, engine: Engine
) -> None:
    for number in range(30):
        subscribe(number, 3600)
    _let_time_pass(engine)

    assert project_due(engine, CatalogueCache(), 5) == 5
    assert project_due(engine, CatalogueCache(), 100) == 25


def test_a_party_that_another_transaction_holds_is_skipped(
    subscribe: Callable[[int, int], None], ledger: Ledger, engine: Engine
) -> None:
    subscribe(1, 3600)
    subscribe(2, 3600)
    _let_time_pass(engine)

    with engine.connect() as other:
        locks.lock(other, [PartyId("test:cus_1")], above=())
        assert project_due(engine, CatalogueCache(), 100) == 1
    assert project_due(engine, CatalogueCache(), 100) == 1


def test_what_is_due_again_at_once_does_not_keep_us_for_ever(
    subscribe: Callable[[int, int], None], ledger: Ledger, engine: Engine
) -> None:
    subscribe(1, 3600)
    with engine.begin() as connection:
        connection.execute(text("UPDATE parties SET due_at = now() - interval '1 day'"))

    assert project_due(engine, CatalogueCache(), 100) == 1
    assert rows(engine, "SELECT active FROM user_entitlements") == [True]


def test_a_moment_that_is_over_is_never_due_again(
    subscribe: Callable[[int, int], None],
    ledger: Ledger,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscribe(1, 3600)
    _let_time_pass(engine)
    project = PartyFacts.project

    def always_due(facts: PartyFacts, catalogue: Catalogue, now: datetime) -> Projection:
        return replace(project(facts, catalogue, now), due_at=now)

    monkeypatch.setattr(PartyFacts, "project", always_due)

    assert project_due(engine, CatalogueCache(), 100) == 1
    assert project_due(engine, CatalogueCache(), 100) == 0


class TestPlans:
    def test_a_price_no_plan_knew_is_granted_once_the_plans_know_it(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        bought = checkout("cs_1", metadata={"price_id": "price_new"})
        ledger.record([delivery(event("checkout.session.completed", bought))])
        assert rows(engine, "SELECT party, unknown_prices FROM parties") != []
        (party,) = rows(engine, "SELECT party FROM parties WHERE 'price_new' = ANY(unknown_prices)")

        with engine.begin() as connection:
            version = catalogues.install(
                connection, _with_price("price_new"), actor="ada", reason="a new price"
            )
        assert reproject(engine, CatalogueCache(), [party], actor="ada", reason="a new price") == 1

        assert version == 2
        query = "SELECT plan_code, catalogue_version FROM user_entitlements WHERE active"
        assert rows(engine, query) == [("premium", 2)]
        query = "SELECT actor, reason FROM audit_logs WHERE action = 'entitlement.granted'"
        assert rows(engine, query) == [("ada", "a new price")]
        assert rows(engine, "SELECT catalogue_version, unknown_prices FROM parties") == [(2, [])]

    def test_rows_that_stay_as_they_are_carry_the_new_version(
        self, ledger: Ledger, engine: Engine
    ) -> None:
        ledger.record([delivery(event("checkout.session.completed", checkout("cs_1")))])
        with engine.begin() as connection:
            catalogues.install(connection, _with_price("price_x"), actor="ada", reason="more")

        reproject(
            engine,
            CatalogueCache(),
            rows(engine, "SELECT party FROM parties"),
            actor="ada",
            reason="more",
        )

        assert rows(engine, "SELECT catalogue_version FROM user_entitlements") == [2]

    def test_a_party_that_is_gone_is_left_out(self, engine: Engine) -> None:
        before = contents(engine)

        assert (
            reproject(
                engine, CatalogueCache(), [PartyId("test:cus_gone")], actor="ada", reason="why"
            )
            == 0
        )

        assert contents(engine) == before


def _with_price(price: str) -> Catalogue:
    document = write_catalogue(example_plans())
    document["plans"]["premium"]["prices"] = [*document["plans"]["premium"]["prices"], price]
    return read_catalogue(document)


def test_seats_are_marked_as_adding_up(ledger: Ledger, engine: Engine) -> None:
    document = write_catalogue(example_plans())
    document["plans"]["team"]["features"] = {"max_devices": 5}
    with engine.begin() as connection:
        catalogues.install(connection, read_catalogue(document), actor="ada", reason="seats")
    team = _ending(1, NOW + 3600)
    team["items"] = {"data": [{"price": {"id": "price_team"}, "quantity": 3}]}
    ledger.record(
        [
            delivery(event("customer.created", customer("cus_1", "usr_1"))),
            delivery(event("customer.subscription.updated", team)),
        ]
    )

    query = "SELECT entitlements, per_seat FROM user_entitlements"
    assert rows(engine, query) == [({"max_devices": 15}, ["max_devices"])]
