"""An object is known if a fact is about it; an id that is cut off means the whole one."""

import pytest

from billing.ids import realm_of
from ops.backfill.known_objects import find_known, find_named
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

RUN = 7
TEST, LIVE = realm_of(None, livemode=False), realm_of(None, livemode=True)


def facts(books: SeededDatabase) -> set[str]:
    """Record a lifecycle and return the ids of the objects of which there is a fact."""
    books.tell("renewal")
    with books.engine.connect() as connection:
        keys = connection.exec_driver_sql("SELECT object_key FROM facts").scalars()
        return {key.removeprefix("test:") for key in keys}


def test_only_what_a_fact_is_about_is_known(books: SeededDatabase) -> None:
    names = facts(books)

    with books.engine.connect() as connection:
        assert find_known(connection, TEST, {*names, "in_unheard_of"}, run=RUN) == names
        assert find_known(connection, LIVE, names, run=RUN) == frozenset()
        assert find_known(connection, TEST, (), run=RUN) == frozenset()


def test_an_id_is_known_by_its_first_25_characters_and_by_no_fewer(books: SeededDatabase) -> None:
    name = next(each for each in facts(books) if each.startswith("in_"))

    with books.engine.connect() as connection:
        assert find_known(connection, TEST, {name[:25], name[:24]}, run=RUN) == {name[:25]}


def test_what_a_fact_mentions_is_named_even_if_no_fact_is_about_it(books: SeededDatabase) -> None:
    books.record(books.compose("renewal").events[:2])
    with books.engine.connect() as connection:
        about = connection.exec_driver_sql("SELECT count(*) FROM facts").scalar_one()
        keys = connection.exec_driver_sql("SELECT object_key FROM memberships").scalars().all()
        names = {key.removeprefix("test:") for key in keys}

        assert find_named(connection, TEST, {*names, "in_unheard_of"}) == names
        assert find_named(connection, LIVE, names) == find_named(connection, TEST, ()) == set()
    assert len(names) > about
