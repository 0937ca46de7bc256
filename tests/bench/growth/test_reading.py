"""The rows and bytes of a transaction are counted for it alone, and nothing of it is left."""

from collections.abc import Callable, Iterator

import pytest
from psycopg import errors
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from bench.growth.parties import UPDATES, grown
from bench.growth.reading import AmountRead, ReadingCounter, unless_too_long
from bench.past import load_past
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from tests.runtime.ledger.delivery_builders import example_plans, rows


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="test", pool_size=1)
    catalogues.install_first(engine, example_plans(), actor="test", reason="test")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE words (id int PRIMARY KEY, word text)"))
        numbers = "SELECT n, repeat('x', 100) FROM generate_series(1, 50) AS n"
        connection.execute(text(f"INSERT INTO words {numbers}"))
    yield engine
    engine.dispose()


@pytest.mark.parametrize("why", [errors.IdleInTransactionSessionTimeout, errors.QueryCanceled])
def test_a_transaction_that_takes_longer_than_it_may_is_not_counted(why: type[Exception]) -> None:
    assert unless_too_long(_failing(why())) is None


def test_any_other_failure_ends_the_run() -> None:
    with pytest.raises(DBAPIError):
        unless_too_long(_failing(errors.UndefinedTable()))


def _failing(why: Exception) -> Callable[[], AmountRead]:
    def count() -> AmountRead:
        raise DBAPIError("INSERT", {}, why)

    return count


def _read_all(connection: Connection) -> None:
    connection.execute(text("SELECT word FROM words"))


def _read_some(connection: Connection) -> None:
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    connection.execute(text("SELECT word FROM words WHERE id <= 10"))


@pytest.mark.servers
def test_rows_and_bytes_are_those_of_one_transaction(engine: Engine) -> None:
    counter = ReadingCounter(engine)

    for _ in range(3):
        everything, some = counter.of_work(_read_all), counter.of_work(_read_some)
        assert (everything.rows, everything.kilobytes) == (50, 5.0)
        assert (some.rows, some.kilobytes) == (10, 1.0)


@pytest.mark.servers
def test_what_an_event_reads_is_counted_and_the_event_is_not_recorded(
    engine: Engine, database: str
) -> None:
    counter = ReadingCounter(engine)
    amounts = []
    for size in (0, 30):
        party = grown(UPDATES, size, "seed", ahead=1)
        load_past(database, party.heard())
        before = rows(engine, "SELECT id FROM stripe_events ORDER BY id")
        amounts.append(counter.of_events(party.coming()))
        assert rows(engine, "SELECT id FROM stripe_events ORDER BY id") == before

    assert all(each.rows > 0 and each.kilobytes > 0 for each in amounts)
