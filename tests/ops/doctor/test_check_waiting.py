"""Warnings about what has no effect yet, on a real database."""

import json
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
    endless = text("SELECT pg_sleep(600), :living, :limit, :reasons")
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


def test_what_was_paid_and_grants_nothing_is_named_with_the_reason(
    books: SeededDatabase, connection: Connection
) -> None:
    noted = {"price_a": "unknown_price", "price_b": "former_price", "price_c": "kept_price"}
    noted |= {"hollow": "empty_plan", "pi_1": "unnamed", "price_free": "nothing"}
    with books.engine.begin() as writer:
        writer.execute(
            text(
                "INSERT INTO parties (party, catalogue_version, waiting, unknown_prices,"
                " without_grant, incomplete_summaries, incomplete_lines, missing_subscriptions,"
                " undecided) VALUES ('test:cus_1', 1, false, '{price_a,price_b,price_c}',"
                " CAST(:noted AS jsonb), '{}', '{test:in_1}', '{}', '{}')"
            ),
            {"noted": json.dumps(noted)},
        )

    found = {check: says for check, (_, says) in findings(connection).items()}

    assert found["prices"].endswith("--reason WHY`: price_a (0 users wait)")
    assert found["former prices"].endswith("[catalogue] nothing: price_b (0 users wait)")
    assert found["kept prices"].endswith("add them to a plan: price_c (0 users wait)")
    assert found["empty plans"].endswith(": hollow")
    assert found["unnamed"].endswith(": pi_1")
    assert found["lines"].endswith(": test:in_1")
    assert not any("price_free" in says for says in found.values())
