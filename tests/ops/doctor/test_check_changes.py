import os
from collections.abc import Callable, Iterator

import pytest
import redis
from sqlalchemy import Connection, text

from ops.doctor import check_changes as changes
from ops.doctor.check_changes import check_changes
from ops.doctor.findings import State
from runtime.changes.numbering import number
from runtime.settings import Settings
from tests.ops.queries.seeded_database import Books
from tests.runtime.changes.change_builders import changed

pytestmark = pytest.mark.servers


@pytest.fixture
def connection(books: Books) -> Iterator[Connection]:
    with books.engine.connect() as connection:
        yield connection


@pytest.fixture
def settings(deployed: Callable[..., None], books: Books, redis_url: str) -> Settings:
    deployed(DATABASE_URL=books.url, REDIS_URL=redis_url)
    return Settings.from_env(os.environ)


def found(connection: Connection, settings: Settings) -> list[tuple[State, str]]:
    return [(each.state, each.says) for each in check_changes(connection, settings)]


def test_all_is_well_while_readers_are_told(
    books: Books, connection: Connection, settings: Settings
) -> None:
    changed(books.engine, "usr_1")
    number(books.engine)

    assert found(connection, settings) == [
        (State.OK, "readers are told of all of them; the newest is 1")
    ]


def test_a_change_that_nobody_numbers_is_named_with_where_to_look(
    books: Books, connection: Connection, settings: Settings
) -> None:
    with books.engine.begin() as writer:
        writer.execute(
            text(
                "INSERT INTO audit_logs (occurred_at, actor, action, outcome, origin, target_type,"
                " target_id) VALUES (now() - interval '5 min', 'stripe', 'entitlement.granted',"
                " 'done', 'stripe', 'entitlement', 'sub_1/premium')"
            )
        )

    [(state, says)] = found(connection, settings)

    assert state is State.WARNING
    assert "5 min old" in says
    assert "paidup worker" in says


def test_a_stream_that_is_far_behind_is_named(
    books: Books, connection: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "LATE_CHANGES", 1)
    changed(books.engine, "usr_1", "usr_2", "usr_3")
    number(books.engine)

    assert found(connection, settings)[1:] == [
        (
            State.WARNING,
            "the Redis stream lacks 3: the log of `paidup worker` says why, if one runs",
        )
    ]


def test_redis_away_is_another_check_s_finding(
    books: Books, connection: Connection, deployed: Callable[..., None]
) -> None:
    deployed(DATABASE_URL=books.url, REDIS_URL="redis://127.0.0.1:1/0")
    settings = Settings.from_env(os.environ)
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url("redis://127.0.0.1:1/0").ping()

    assert [state for state, _ in found(connection, settings)] == [State.OK]
