"""Warnings about what has no effect yet, on a real database."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from ops.doctor import check_waiting
from ops.doctor.findings import State
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import delivery, event

pytestmark = pytest.mark.servers

PRICES = 24_000
"""As many as a body of one MiB has room for."""


@pytest.fixture
def connection(books: SeededDatabase) -> Iterator[Connection]:
    with books.engine.connect() as connection:
        yield connection


def subscription(subscription_id: str, *prices: str) -> bytes:
    items = [{"id": f"si_{n}", "price": {"id": price}} for n, price in enumerate(prices)]
    stated = {
        "id": subscription_id,
        "object": "subscription",
        "status": "active",
        "customer": "cus_1",
        "metadata": {"user_id": "usr_1"},
        "items": {"data": items},
    }
    return event("customer.subscription.created", stated)


def findings(connection: Connection) -> dict[str, tuple[State, str]]:
    return {each.check: (each.state, each.says) for each in check_waiting.check_waiting(connection)}


def test_an_event_with_thousands_of_unknown_prices_is_counted_within_the_time_limit(
    books: SeededDatabase, connection: Connection
) -> None:
    many = [f"price_{n:05}" for n in range(PRICES)]
    ledger_on(books.engine).record([delivery(subscription("sub_1", *many))])
    ledger_on(books.engine).record([delivery(subscription("sub_2", many[7], many[7], many[9]))])

    found = check_waiting.find_unplanned_prices(connection)

    assert sorted(found) == [(price, 1, 0) for price in many]
    state, says = findings(connection)["prices"]
    assert state is State.WARNING
    assert says.endswith("price_00003 (1 user waits), price_00004 (1 user waits), ...")


def test_a_check_that_takes_too_long_hides_no_other(
    books: SeededDatabase, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with books.engine.begin() as writer:
        writer.execute(
            text(
                "INSERT INTO dead_letters (event_id, payload, error_type, error, attempts,"
                " first_failed_at, last_failed_at)"
                " VALUES ('evt_1', '{}', 'E', 'e', 1, now(), now())"
            )
        )
    endless = text("SELECT pg_sleep(600), :living, :limit")
    monkeypatch.setattr(check_waiting, "_UNSOLD", endless)
    connection.execute(text("SET statement_timeout = '50ms'"))

    found = findings(connection)

    state, says = found["prices"]
    assert state is State.PROBLEM
    assert "could not be checked: canceling statement due to statement timeout" in says
    assert found["dead letters"][1].startswith("1 event not applied")


def test_a_connection_that_breaks_ends_the_checks(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    suicide = text("SELECT pg_terminate_backend(pg_backend_pid()), :living, :limit")
    monkeypatch.setattr(check_waiting, "_UNSOLD", suicide)

    with pytest.raises(Exception, match="terminat"):
        findings(connection)
