import json
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from billing.envelope import parse
from ops.doctor.check_access import check_access
from ops.doctor.findings import Finding, State
from ops.doctor.on_its_own import on_its_own
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


@pytest.fixture
def books(database: str) -> Iterator[SeededDatabase]:
    books = SeededDatabase(database)
    yield books
    books.close()


def found(books: SeededDatabase) -> dict[str, Finding]:
    with books.engine.connect() as connection:
        return {finding.check: finding for finding in check_access(connection)}


def change(books: SeededDatabase, statement: str) -> None:
    with books.engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount


@pytest.mark.parametrize(
    "scenario",
    [
        "first_paid",
        "renewal",
        "trial_active",
        "onetime",
        "refund_full",
        "dispute_lost",
        "cancel_at_period_end",
        "checkout_expired",
        "upgrade",
    ],
)
def test_a_user_who_has_what_was_paid_for_is_not_named(
    books: SeededDatabase, scenario: str
) -> None:
    books.tell(scenario)

    assert {check: each.state for check, each in found(books).items()} == {"access": State.OK}


@pytest.mark.parametrize(("scenario", "paid_by"), [("first_paid", "sub_"), ("onetime", "pi_")])
def test_a_paying_user_without_access_is_a_warning_that_leads_on(
    books: SeededDatabase, scenario: str, paid_by: str
) -> None:
    books.tell(scenario, user="usr_9")
    books.tell("renewal", user="usr_8", seed="other")
    change(books, "delete from user_entitlements where user_id = 'usr_9'")

    access = found(books)["access"]

    assert access.state is State.WARNING
    assert access.says.startswith("1 paying user has no access: usr_9 (")
    assert paid_by in access.says
    assert "`paidup explain usr_9`" in access.says


def test_money_that_went_back_and_old_payments_are_no_reason(books: SeededDatabase) -> None:
    books.tell("onetime")
    change(books, "delete from user_entitlements")
    assert found(books)["access"].state is State.WARNING

    change(books, "update payments set occurred_at = now() - interval '31 days'")

    assert found(books)["access"].state is State.OK


def test_a_payment_for_access_that_ended_since_is_no_reason(books: SeededDatabase) -> None:
    books.tell("onetime")

    change(books, "update user_entitlements set active = false")

    assert found(books)["access"].state is State.OK


def test_queries_that_take_too_long_hide_no_other_check(books: SeededDatabase) -> None:
    with books.engine.begin() as blocker, books.engine.connect() as connection:
        blocker.execute(text("lock table subscriptions in access exclusive mode"))
        connection.execute(text("set statement_timeout = 100"))
        (finding,) = on_its_own(connection, "access", check_access)
        assert connection.scalar(text("select 1")) == 1

    assert finding.state is State.PROBLEM
    assert finding.says.startswith("could not be checked: ")


def test_an_active_subscription_without_readable_items_is_a_warning(
    books: SeededDatabase,
) -> None:
    lifecycle = books.compose("first_paid")
    bodies = []
    for event in lifecycle.events:
        payload = event.payload
        if payload["type"].startswith("customer.subscription."):
            payload["data"]["object"]["items"] = {"object": "list", "data": [{"object": "odd"}]}
            payload["data"]["object"].pop("plan", None)
        bodies.append(json.dumps(payload).encode())

    books.settle(map(parse, bodies))

    items = found(books)["items"]
    assert items.state is State.WARNING
    assert items.says.startswith("1 subscription has no item that Paidup can read")
    assert "sub_" in items.says
