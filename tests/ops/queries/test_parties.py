import pytest

from ops.queries.parties import configured_realms, is_named, parties_of_object, parties_of_user
from tests.fakes import settings
from tests.ops.queries.seeded_database import SeededDatabase

servers = pytest.mark.servers


def test_the_realms_are_those_this_deployment_counts() -> None:
    assert set(configured_realms(settings(PAIDUP_CONNECT_ACCOUNTS="acct_1"))) == {
        "live",
        "test",
        "live/acct_1",
        "test/acct_1",
    }


@servers
def test_a_user_is_found_by_everything_that_is_theirs(books: SeededDatabase) -> None:
    lifecycles = [books.tell("renewal", seed="a"), books.tell("onetime", seed="b")]
    books.tell("onetime", user="usr_other", seed="c")

    with books.engine.connect() as connection:
        parties = parties_of_user(connection, "usr_1")
        assert is_named(connection, "usr_1")
        assert not is_named(connection, "usr_nobody")

    assert parties == {f"test:{lifecycle.expected.customer_id}" for lifecycle in lifecycles}


@servers
def test_a_customer_is_found_in_the_realms_that_know_it(books: SeededDatabase) -> None:
    customer = books.tell("renewal").expected.customer_id or ""

    with books.engine.connect() as connection:
        within = configured_realms(settings())
        assert parties_of_object(connection, customer, within) == {f"test:{customer}"}
        assert parties_of_object(connection, "cus_nobody", within) == frozenset()
