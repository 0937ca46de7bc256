import time
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from ops.up.servers.postgres_server import Postgres
from runtime.database.deadline import DeadlineConnection, NoAnswer, without_deadline
from runtime.database.engine import connector, conninfo_of
from runtime.failures.classify import Infrastructure, classify

pytestmark = pytest.mark.servers


class ShortDeadline(DeadlineConnection):
    """It has production's behaviour after 0.3 s; tests/faults wait for production's 6.5 s."""

    answer_seconds = 0.3


def _engine(url: str) -> Engine:
    connect = connector(conninfo_of(url), application_name="test", kind=ShortDeadline)
    return create_engine("postgresql+psycopg://", creator=connect, pool_size=1, max_overflow=0)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = _engine(database)
    yield engine
    engine.dispose()


def test_a_frozen_server_is_given_up_and_its_connection_closed(own_postgres: Postgres) -> None:
    engine = _engine(own_postgres.url)
    with engine.connect() as connection:
        before = connection.scalar(text("SELECT pg_backend_pid()"))
        own_postgres.freeze()
        started = time.monotonic()
        with pytest.raises(DBAPIError, match=r"did not answer within 0\.3 s") as failed:
            connection.execute(text("SELECT 1"))
        waited = time.monotonic() - started
    own_postgres.thaw()
    with engine.connect() as connection:
        after = connection.scalar(text("SELECT pg_backend_pid()"))
    engine.dispose()

    assert isinstance(failed.value.orig, NoAnswer)
    assert isinstance(classify(failed.value), Infrastructure)
    assert waited >= 0.3
    assert before != after, "the late answer would be taken for that of the next statement"


def test_a_commit_without_an_answer_is_given_up(own_postgres: Postgres) -> None:
    engine = _engine(own_postgres.url)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE notes (note text)"))
        own_postgres.freeze()
        with pytest.raises(DBAPIError, match="did not answer"):
            connection.commit()
    own_postgres.thaw()
    engine.dispose()


def test_an_error_that_the_server_sent_is_no_missing_answer(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL statement_timeout = '50ms'"))
        with pytest.raises(DBAPIError, match="statement timeout") as failed:
            connection.execute(text("SELECT pg_sleep(5)"))

    assert isinstance(failed.value.orig, psycopg.errors.QueryCanceled)


def test_a_migration_waits_for_as_long_as_it_takes_and_only_it(engine: Engine) -> None:
    with engine.connect() as connection:
        with without_deadline(connection):
            connection.execute(text("SELECT pg_sleep(0.6)"))
        with pytest.raises(DBAPIError, match="did not answer"):
            connection.execute(text("SELECT pg_sleep(2)"))


def test_a_caller_that_waits_for_notifications_keeps_its_own_limit(database: str) -> None:
    with ShortDeadline.connect(conninfo_of(database), autocommit=True) as listener:
        listener.execute("LISTEN something")
        assert list(listener.notifies(timeout=0.6)) == []
        assert not listener.closed
