from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from runtime.database.engine import (
    UnusableDatabaseUrl,
    conninfo_of,
    engine_for,
    make_engine,
)
from runtime.settings import Settings
from runtime.time_limits import STATEMENT_SECONDS


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="paidup test", pool_size=1)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:p@host:5433/db?sslmode=require",
        "postgresql://u:p@host:5433/db?sslmode=require",
        "postgresql+psycopg://u:p@host:5433/db?sslmode=require",
        "POSTGRES://u:p@host:5433/db?sslmode=require",
    ],
)
def test_every_usual_scheme_reaches_libpq_as_its_own(url: str) -> None:
    assert conninfo_of(url) == "postgresql://u:p@host:5433/db?sslmode=require"


@pytest.mark.parametrize(
    "rest",
    ["/db?host=/var/run/postgresql", "u@h1:1,h2:2/db", "u%40x:p%2Fw@h/db", "?service=paidup"],
    ids=["unix socket", "several hosts", "escaped", "service file"],
)
def test_the_rest_of_the_url_is_left_to_libpq(rest: str) -> None:
    assert conninfo_of(f"postgres://{rest}") == f"postgresql://{rest}"
    psycopg.conninfo.conninfo_to_dict(conninfo_of(f"postgres://{rest}"))


@pytest.mark.parametrize("url", [None, "", "mysql://secret@host/db", "host=x password=secret"])
def test_another_database_is_refused_without_repeating_the_url(url: str | None) -> None:
    with pytest.raises(UnusableDatabaseUrl) as refused:
        engine_for(url, application_name="test")

    assert "secret" not in str(refused.value)


def test_making_an_engine_opens_nothing() -> None:
    settings = Settings.from_env(
        {"STRIPE_WEBHOOK_SECRET": "whsec_x", "DATABASE_URL": "postgresql://nowhere.invalid/db"}
    )

    make_engine(settings, application_name="test").dispose()


@pytest.mark.servers
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("statement_timeout", f"{STATEMENT_SECONDS:g}s"),
        ("lock_timeout", "3s"),
        ("idle_in_transaction_session_timeout", "20s"),
        ("transaction_isolation", "read committed"),
        ("application_name", "paidup test"),
        ("TimeZone", "UTC"),
    ],
)
def test_every_session_is_bounded(engine: Engine, name: str, value: str) -> None:
    for _ in range(2):  # what the pool hands out again is bounded still
        with engine.connect() as connection:
            assert connection.scalar(text(f"SHOW {name}")) == value


@pytest.mark.servers
def test_what_the_operator_asks_of_libpq_is_kept(database: str) -> None:
    engine = engine_for(f"{database}?options=-c%20work_mem%3D77MB", application_name="test")
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW work_mem")) == "77MB"
        assert connection.scalar(text("SHOW lock_timeout")) == "3s"
    engine.dispose()


@pytest.mark.servers
def test_nothing_runs_longer_than_its_bound(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL statement_timeout = '50ms'"))

        with pytest.raises(DBAPIError, match="statement timeout"):
            connection.execute(text("SELECT pg_sleep(5)"))


@pytest.mark.servers
def test_bodies_are_compressed_by_the_quicker_method_where_the_server_has_it(
    engine: Engine,
) -> None:
    with engine.connect() as connection:
        offered = text("SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'")
        expected = "lz4" if "lz4" in connection.scalar(offered) else "pglz"

        assert connection.scalar(text("SHOW default_toast_compression")) == expected


@pytest.mark.servers
def test_a_method_that_the_operator_chose_is_kept(database: str) -> None:
    url = f"{database}?options=-c%20default_toast_compression%3Dpglz"
    engine = engine_for(url, application_name="test")
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW default_toast_compression")) == "pglz"
    engine.dispose()


def _pid(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


@pytest.mark.servers
@pytest.mark.parametrize(
    "refusal",
    [
        "SET TRANSACTION READ ONLY; CREATE TABLE x ()",
        "DO $$ BEGIN RAISE SQLSTATE '57P03'; END $$",
        "DO $$ BEGIN RAISE SQLSTATE '53100'; END $$",
    ],
    ids=["read-only", "leaving", "full"],
)
def test_an_error_of_a_server_that_cannot_write_drops_every_pooled_connection(
    database: str, refusal: str
) -> None:
    engine = engine_for(database, application_name="test", pool_size=2)
    with engine.connect() as one, engine.connect() as other:
        before = {_pid(one), _pid(other)}
        with pytest.raises(DBAPIError):
            one.execute(text(refusal))
    with engine.connect() as one, engine.connect() as other:
        after = {_pid(one), _pid(other)}
    engine.dispose()

    assert not before & after


@pytest.mark.servers
def test_an_error_of_a_statement_keeps_the_connection(engine: Engine) -> None:
    with engine.connect() as connection:
        before = _pid(connection)
        with pytest.raises(DBAPIError):
            connection.execute(text("SELECT 1 / 0"))
    with engine.connect() as connection:
        assert _pid(connection) == before


@pytest.mark.servers
def test_an_error_names_no_value_of_the_statement(engine: Engine) -> None:
    failing = text("SELECT 1 / (length(:of) - 15)")

    with engine.connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(failing, {"of": "ada@example.com"})

    assert "ada@example.com" not in str(raised.value)
    assert "division by zero" in str(raised.value)
