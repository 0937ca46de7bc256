"""Other names of a user, and what the searches cost."""

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.dialects import postgresql

from billing.readers.search_terms import Named
from ops.console.entitlements import Entitlements
from ops.queries.dead_letters import about, keys_named
from ops.queries.lookups import Lookup, look_up, parties_by_email
from ops.queries.parties import OWN_REALMS
from runtime.ledger.record import Ledger
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.delivery_builders import delivery, event

pytestmark = pytest.mark.servers


def plan_of(connection: Connection, query: object) -> str:
    """Return the plan of a query on tables that hold many rows of others."""
    written = query.compile(  # type: ignore[attr-defined]
        dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
    return "\n".join(connection.exec_driver_sql(f"EXPLAIN {written}".replace("%", "%%")).scalars())


def crowd(connection: Connection) -> None:
    """Fill in the terms of 50,000 customers, so that reading the whole table would cost."""
    connection.execute(
        text(
            "INSERT INTO search_terms SELECT 'user' || n || '@example.com', 'email',"
            " 'live:cus_' || n, 'live:cus_' || n FROM generate_series(1, 50000) AS n"
        )
    )
    connection.execute(
        text(
            "INSERT INTO memberships SELECT 'live:cus_' || n, 'live:cus_' || n"
            " FROM generate_series(1, 50000) AS n"
        )
    )
    connection.execute(text("ANALYZE search_terms, memberships"))


def test_an_index_serves_every_search(books: SeededDatabase) -> None:
    lookup = Lookup(
        text="usr_1", known=True, users=("usr_1",), parties=frozenset({"live:cus_7"}), email=None
    )
    with books.engine.begin() as connection:
        crowd(connection)
        plans = [
            plan_of(connection, parties_by_email("user7@example.com")),
            plan_of(connection, keys_named(lookup)),
        ]

    for plan in plans:
        assert "search_terms_pkey" in plan
        assert "Seq Scan" not in plan


def test_an_address_is_found_among_many(books: SeededDatabase) -> None:
    with books.engine.begin() as connection:
        crowd(connection)
        found = look_up(connection, OWN_REALMS, "User7@example.com")

    assert found.known
    assert found.parties == {"live:cus_7"}
    assert not found.users


def test_an_object_that_names_another_user_than_its_customer_means_that_one(
    books: SeededDatabase,
) -> None:
    books.tell("renewal", user="usr_1")
    with books.engine.begin() as connection:
        subscription = connection.scalar(
            text("UPDATE subscriptions SET user_id = 'usr_2' RETURNING stripe_subscription_id")
        )
        customer = connection.scalar(text("SELECT stripe_customer_id FROM customers"))
        found = [look_up(connection, OWN_REALMS, str(each)) for each in (subscription, customer)]

    assert [each.users for each in found] == [("usr_2",), ("usr_1",)]


def test_an_object_without_a_row_of_its_own_means_the_users_of_its_party(
    books: SeededDatabase,
) -> None:
    books.tell("onetime", user="usr_1")
    with books.engine.begin() as connection:
        session = connection.scalar(
            text("SELECT object_key FROM memberships WHERE position('cs_test' IN object_key) > 0")
        )
        found = look_up(connection, OWN_REALMS, str(session).partition(":")[2])

    assert found.users == ("usr_1",)


def session(**changes: object) -> dict[str, object]:
    return {
        "id": "cs_1",
        "object": "checkout.session",
        "client_reference_id": "click_1",
        "customer": "cus_1",
        "mode": "payment",
        "amount_total": 100,
        "currency": "usd",
        "payment_status": "unpaid",
        "customer_details": {"email": "ada@example.com"},
        **changes,
    }


@pytest.mark.parametrize(
    ("kind", "status", "known"),
    [("expired", "expired", False), ("async_payment_failed", "complete", True)],
)
def test_a_checkout_makes_its_user_known_as_in_the_read_api(
    books: SeededDatabase, kind: str, status: str, *, known: bool
) -> None:
    given = event(f"checkout.session.{kind}", session(status=status))
    Ledger(books.engine, livemode="any", accounts=frozenset()).record([delivery(given)])

    with books.engine.connect() as connection:
        user = look_up(connection, OWN_REALMS, "click_1")
        customer = look_up(connection, OWN_REALMS, "ada@example.com")
    assert user.known == Entitlements(books.engine, OWN_REALMS).of_user("click_1").known == known
    assert user.parties == {"test:cus_1"}, "its events can be listed"
    assert customer.users == (("click_1",) if known else ())


def test_dead_letters_are_searched_for_more_objects_than_a_statement_takes_parameters(
    books: SeededDatabase,
) -> None:
    lookup = Lookup(text="u", known=True, users=("u",), parties=frozenset({"p"}), email=None)
    ids = [f"in_{number}" for number in range(35_000)]
    named = {"evt_1": Named(ids=frozenset(ids)), "evt_2": Named(ids=frozenset({"cus_7"}))}
    with books.engine.begin() as connection:
        connection.execute(text("INSERT INTO memberships VALUES ('live:cus_7', 'p')"))

        assert about(connection, OWN_REALMS, [lookup], named) == ["evt_2"]
