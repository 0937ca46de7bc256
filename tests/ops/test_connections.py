from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, InternalError

from billing.ids import PartyId
from ops.connections import open_database, open_inbox, read_snapshot, unavailable
from ops.errors import CommandFailed
from ops.up.servers.ports import free_port
from runtime.database.deadline import DeadlineConnection
from runtime.database.engine import connector, conninfo_of, engine_for, engine_on
from runtime.database.session import SESSION
from runtime.inbox.durability import CLUSTER
from runtime.ledger.maintenance.scan import pages
from runtime.time_limits import ANSWER_SECONDS
from tests.fakes import settings
from tests.ops.queries.seeded_database import SeededDatabase

servers = pytest.mark.servers

LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout")


def driver_of(connection: Connection) -> DeadlineConnection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, DeadlineConnection)
    return driver


@servers
def test_a_snapshot_does_not_change_and_cannot_be_written(books: SeededDatabase) -> None:
    count = text("SELECT count(*) FROM stripe_events")

    with open_database(settings(DATABASE_URL=books.url), application="tests") as engine:
        with read_snapshot(engine) as connection:
            assert connection.scalar(count) == 0
            books.tell("onetime")
            assert connection.scalar(count) == 0
            with pytest.raises(InternalError, match="read-only"):
                connection.execute(text("DELETE FROM parties"))
        with read_snapshot(engine) as connection:
            assert connection.scalar(count) == 5


@servers
def test_a_database_without_our_schema_says_what_to_do(books: SeededDatabase) -> None:
    with books.engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))

    with pytest.raises(CommandFailed, match="run `paidup migrate`"), read_snapshot(books.engine):
        pass


@servers
def test_no_command_writes_into_a_schema_that_needs_a_newer_release(books: SeededDatabase) -> None:
    with books.engine.begin() as connection:
        connection.execute(text("UPDATE schema_release SET oldest_release = '9.0.0'"))

    with (
        pytest.raises(CommandFailed, match=r"needs Paidup 9\.0\.0 or newer"),
        open_database(settings(DATABASE_URL=books.url), application="tests"),
    ):
        pass


@servers
def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    url = f"postgresql://u:secret@127.0.0.1:{free_port()}/x"
    engine = engine_for(url, application_name="tests")

    with (
        pytest.raises(CommandFailed, match="PostgreSQL is unreachable") as said,
        read_snapshot(engine),
    ):
        pass
    assert "secret" not in str(said.value)
    assert "paidup doctor" in str(said.value)

    redis = settings(REDIS_URL=f"redis://:secret@127.0.0.1:{free_port()}/0")
    with (
        pytest.raises(CommandFailed, match="Redis is unreachable") as said,
        open_inbox(redis) as box,
    ):
        box.backlog()
    assert "secret" not in str(said.value)


def test_an_inbox_that_nobody_named_is_named() -> None:
    with pytest.raises(CommandFailed, match="REDIS_URL is not set"), open_inbox(settings()):
        pass


@servers
def test_a_cluster_is_named_with_what_to_use_instead(cluster_url: str) -> None:
    with pytest.raises(CommandFailed) as said, open_inbox(settings(REDIS_URL=cluster_url)):
        pass

    assert str(said.value) == CLUSTER


@pytest.fixture
def hurried(database: str) -> Iterator[Engine]:
    """Open a database whose sessions have very short limits."""
    limits = {"statement_timeout": "100ms", "idle_in_transaction_session_timeout": "100ms"}
    connect = connector(
        conninfo_of(database), application_name="tests", session={**SESSION, **limits}
    )
    engine = engine_on(connect)
    yield engine
    engine.dispose()


@servers
def test_a_command_that_reads_may_take_long_and_pause(hurried: Engine) -> None:
    with read_snapshot(hurried) as connection:
        connection.execute(text("SELECT pg_sleep(0.3)"))
        show = [text(f"SHOW {name}") for name in LIMITS]
        assert [connection.scalar(each) for each in show] == ["0", "0", "3s"]
        assert driver_of(connection).answer_seconds is None

    with hurried.connect() as connection:
        assert [connection.scalar(each) for each in show] == ["100ms", "100ms", "3s"]
        assert driver_of(connection).answer_seconds == ANSWER_SECONDS


@servers
def test_all_parties_are_paged_through_however_long_a_page_takes(hurried: Engine) -> None:
    def page(connection: Connection, after: str, _limit: int) -> list[PartyId]:
        connection.execute(text("SELECT pg_sleep(0.3)"))
        return [] if after else [PartyId("test:cus_1")]

    assert list(pages(hurried, page)) == [["test:cus_1"]]


@servers
def test_a_server_that_answers_is_not_called_unreachable(hurried: Engine) -> None:
    with (
        read_snapshot(hurried, patient=False) as connection,
        pytest.raises(DBAPIError) as slow,
    ):
        connection.execute(text("SELECT pg_sleep(0.3)"))

    said = str(unavailable("PostgreSQL", slow.value))
    assert said.startswith("PostgreSQL failed: canceling statement due to statement timeout")
    assert "unreachable" not in said
