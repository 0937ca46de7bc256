from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from ops.doctor.check_postgres import check_locks, locks_per_transaction
from runtime.database.engine import engine_for


def test_room_is_shared_out_among_all_sessions() -> None:
    assert locks_per_transaction(30 * 200, 100) == 60
    assert locks_per_transaction(33 * 200, 100) == 66
    assert locks_per_transaction(1, 100) == 1


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """A connection with the application name of a worker process."""
    engine = engine_for(database, application_name="paidup-worker-1")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.servers
def test_nothing_is_said_while_there_is_room(connection: Connection) -> None:
    assert list(check_locks(connection)) == []


@pytest.mark.servers
def test_workers_that_may_lock_more_than_there_is_room_for_are_reported(
    connection: Connection,
) -> None:
    (finding,) = check_locks(connection, claimed=1_000_000)

    assert "the worker processes (1) may lock 1000000 parties at once" in finding.says
    assert "set max_locks_per_transaction to " in finding.says
