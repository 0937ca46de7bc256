from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from structlog.testing import capture_logs

from runtime.database.engine import engine_for
from runtime.idempotency import MAX_REMOVED
from runtime.time_limits import EXPIRED_KEYS_SECONDS
from workers.supervisor.expired_keys import KeyRemoval


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


def keep(engine: Engine, count: int, *, expires: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO idempotency_keys"
                " (operation, scope, key, fingerprint, result, expires_at)"
                " SELECT 'test', CAST(:expires AS text), number, '', 'null',"
                " now() + CAST(CAST(:expires AS text) AS interval)"
                " FROM generate_series(1, :count) AS number"
            ),
            {"expires": expires, "count": count},
        )


def kept(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.text("SELECT count(*) FROM idempotency_keys")) or 0


@pytest.mark.servers
def test_expired_keys_are_removed_once_an_hour(engine: Engine) -> None:
    now = [0.0]
    removal = KeyRemoval(engine, lambda: True, lambda: now[0])
    keep(engine, 2, expires="1 minute")
    keep(engine, 3, expires="-1 minute")

    removal.remove()
    at_once = kept(engine)
    keep(engine, 3, expires="-2 minutes")
    removal.remove()
    soon = kept(engine)
    now[0] = EXPIRED_KEYS_SECONDS
    removal.remove()

    assert (at_once, soon, kept(engine)) == (2, 5, 2)


@pytest.mark.servers
def test_a_full_batch_is_followed_by_the_next_one_at_once(engine: Engine) -> None:
    removal = KeyRemoval(engine, lambda: True, lambda: 0.0)
    keep(engine, MAX_REMOVED + 1, expires="-1 minute")

    removal.remove()
    left = kept(engine)
    removal.remove()

    assert (left, kept(engine)) == (1, 0)


@pytest.mark.servers
def test_a_database_that_is_away_is_named_in_the_log_and_asked_again_in_an_hour() -> None:
    now = [0.0]
    away = engine_for("postgresql://127.0.0.1:1/none", application_name="tests")
    removal = KeyRemoval(away, lambda: True, lambda: now[0])

    with capture_logs() as logged:
        for seconds in (0.0, 1.0, EXPIRED_KEYS_SECONDS):
            now[0] = seconds
            removal.remove()

    assert [line["event"] for line in logged] == ["expired idempotency keys not removed"] * 2


def test_only_the_supervisor_that_leads_removes() -> None:
    away = engine_for("postgresql://127.0.0.1:1/none", application_name="tests")

    KeyRemoval(away, lambda: False, lambda: 0.0).remove()
