"""An object is known if a fact is about it; an id that is cut off means the whole one."""

import pytest

from billing.ids import realm_of
from ops.backfill.known_objects import find_known
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

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
        assert find_known(connection, TEST, {*names, "in_unheard_of"}) == names
        assert find_known(connection, LIVE, names) == frozenset()
        assert find_known(connection, TEST, ()) == frozenset()


def test_an_id_is_known_by_its_first_25_characters_and_by_no_fewer(books: SeededDatabase) -> None:
    name = next(each for each in facts(books) if each.startswith("in_"))

    with books.engine.connect() as connection:
        assert find_known(connection, TEST, {name[:25], name[:24]}) == {name[:25]}
