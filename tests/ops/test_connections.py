import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError

from ops.connections import open_database, open_inbox, read_snapshot
from ops.errors import CommandFailed
from ops.up.servers.ports import free_port
from runtime.database.engine import engine_for
from runtime.inbox.durability import CLUSTER
from tests.fakes import settings
from tests.ops.queries.seeded_database import SeededDatabase

servers = pytest.mark.servers


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
