"""Other names of a user, and what the searches cost."""

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.dialects import postgresql

from billing.readers.search_terms import Named
from ops.console.entitlements import Entitlements
from ops.queries.dead_letters import about, keys_named
from ops.queries.lookups import (
    Candidate,
    Lookup,
    describe_missing,
    look_up,
    objects_by_word,
    parties_by_email,
)
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
            "INSERT INTO search_terms SELECT kind || n || '@example.com', kind,"
            " 'live:cus_' || n, 'live:cus_' || n FROM generate_series(1, 50000) AS n,"
            " (VALUES ('email'), ('name'), ('metadata')) AS kinds (kind)"
            " UNION ALL SELECT 'everyone', 'metadata', 'live:cus_' || n, 'live:cus_' || n"
            " FROM generate_series(1, 50000) AS n"
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
            plan_of(connection, parties_by_email("email7@example.com")),
            plan_of(connection, objects_by_word("name7@example.com", limit=6)),
            plan_of(connection, objects_by_word("everyone", limit=6)),
            plan_of(connection, keys_named(lookup)),
        ]

    for plan in plans:
        assert "search_terms_pkey" in plan or "search_terms_email_idx" in plan
        assert "Seq Scan" not in plan


def test_an_address_is_found_among_many(books: SeededDatabase) -> None:
    with books.engine.begin() as connection:
        crowd(connection)
        found = look_up(connection, OWN_REALMS, "Email7@example.com")

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


def named_customer(number: int, user: str | None = None, **changes: object) -> bytes:
    metadata = {"user_id": user} if user else {}
    stated = {
        "id": f"cus_{number}",
        "object": "customer",
        "name": "Ada Lovelace",
        "metadata": {**metadata, "account": "ACME 7", "referrer": "usr_9"},
        **changes,
    }
    return event("customer.created", stated)


def test_a_name_or_metadata_lists_those_who_bear_it_and_means_none_of_them(
    books: SeededDatabase,
) -> None:
    bodies = [named_customer(1, "usr_1"), named_customer(2), named_customer(3, name="Ada Byron")]
    Ledger(books.engine, livemode="any", accounts=frozenset()).record([*map(delivery, bodies)])
    first = Candidate(stripe_id="cus_1", users=("usr_1",))
    others = [Candidate(stripe_id=each, users=()) for each in ("cus_2", "cus_3")]

    with books.engine.connect() as connection:
        by_name, by_metadata, as_user, none = (
            look_up(connection, OWN_REALMS, text)
            for text in (" ada  LOVELACE", "acme 7", "usr_9", "nobody")
        )

    assert by_name.candidates == (first, others[0])
    assert by_metadata.candidates == as_user.candidates == (first, *others)
    for each in (by_name, by_metadata, as_user, none):
        assert (each.known, each.users, each.parties) == (False, (), frozenset())
    assert none.candidates == ()
    assert describe_missing(as_user) == (
        "no event names 'usr_9', but it is a name or in the metadata of usr_1 (cus_1), cus_2 (no"
        " user yet), cus_3 (no user yet): name one of them by its id"
    )


def test_a_user_is_no_candidate_for_what_others_bear(books: SeededDatabase) -> None:
    bodies = [named_customer(1, "usr_1"), named_customer(2, "usr_9")]
    Ledger(books.engine, livemode="any", accounts=frozenset()).record([*map(delivery, bodies)])

    with books.engine.connect() as connection:
        found = look_up(connection, OWN_REALMS, "usr_9")

    assert (*found.users, *found.parties) == ("usr_9", "test:cus_2")
    assert (found.word, found.candidates) == (None, ())


def test_of_very_many_who_bear_a_word_the_first_are_listed(books: SeededDatabase) -> None:
    with books.engine.begin() as connection:
        crowd(connection)
        found = look_up(connection, OWN_REALMS, "Everyone")

    assert len(found.candidates) == 5
    assert found.more_candidates
    assert "and others: name one of them" in str(describe_missing(found))


def test_many_dead_letters_that_bear_a_name_hide_no_customer(books: SeededDatabase) -> None:
    ledger = Ledger(books.engine, livemode="any", accounts=frozenset())
    ledger.record([delivery(named_customer(1, "usr_1"))])
    with books.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO search_terms SELECT 'ada lovelace', 'name', 'evt_' || n, 'evt_' || n"
                " FROM generate_series(1, 101) AS n"
            )
        )
        found = look_up(connection, OWN_REALMS, "Ada Lovelace")

    assert found.candidates == (Candidate(stripe_id="cus_1", users=("usr_1",)),)
