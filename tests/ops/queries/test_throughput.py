from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from ops.queries.throughput import settled_since
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


def let_time_pass(books: SeededDatabase, count: int, span: timedelta) -> None:
    """Make the oldest events so much older; their order stays."""
    with books.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE stripe_events SET applied_at = applied_at - :span WHERE settlement IN"
                " (SELECT settlement FROM stripe_events ORDER BY settlement LIMIT :count)"
            ),
            {"span": span, "count": count},
        )


def settled(books: SeededDatabase, ago: timedelta) -> int:
    with books.engine.connect() as connection:
        return settled_since(connection, datetime.now(UTC) - ago)


def test_nothing_was_settled_in_an_empty_database(books: SeededDatabase) -> None:
    assert settled(books, timedelta(hours=1)) == 0


def test_events_are_counted_from_the_moment_on(books: SeededDatabase) -> None:
    first = len(books.tell("onetime", seed="a").events)
    let_time_pass(books, first, timedelta(hours=2))
    second = len(books.tell("onetime", seed="b").events)
    let_time_pass(books, first + second, timedelta(minutes=5))
    third = len(books.tell("renewal", seed="c").events)

    assert settled(books, timedelta(minutes=1)) == third
    assert settled(books, timedelta(hours=1)) == second + third
    assert settled(books, timedelta(days=1)) == first + second + third


def test_numbers_that_were_never_given_are_not_counted(books: SeededDatabase) -> None:
    """Record an event twice: the second time uses up a number of the sequence."""
    lifecycle = books.tell("onetime")
    books.record(lifecycle.events)
    more = books.tell("onetime", seed="other")

    assert settled(books, timedelta(hours=1)) == len(lifecycle.events) + len(more.events)
