from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from ops.up.servers.postgres_server import Postgres
from runtime import schema
from runtime.database.engine import engine_for
from runtime.database.session import UnusableEncoding
from runtime.failures.classify import Infrastructure, classify
from runtime.time_limits import STATEMENT_SECONDS
from tests.pgbouncer import PgBouncer

pytestmark = pytest.mark.servers

ODD = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "TimeZone": "Asia/Kathmandu",
    "default_transaction_isolation": "serializable",
    "statement_timeout": "0",
}
_numbers = count(1)


def order(server: Postgres, *statements: str) -> None:
    """Execute statements as the superuser, each in the maintenance database."""
    with server._connect() as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = engine_for(url, application_name="tests", pool_size=1)
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def empty(postgres_server: Postgres) -> Iterator[str]:
    """Yield the URL of a database without tables."""
    name = f"empty_{next(_numbers)}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


def name_of(url: str) -> str:
    return url.rpartition("/")[2]


@pytest.mark.parametrize("through", ["the server", "a pooler"])
def test_what_the_database_has_set_changes_nothing_that_we_read(
    database: str, postgres_server: Postgres, through: str, request: pytest.FixtureRequest
) -> None:
    for setting, value in ODD.items():
        order(postgres_server, f"ALTER DATABASE {name_of(database)} SET {setting} = '{value}'")
    url = database
    if through == "a pooler":
        pooler: PgBouncer = request.getfixturevalue("pooler")
        url = pooler.url_of(database)
    noon = "'2026-02-03 12:00:00+00'::timestamptz"
    with opened(url) as engine, engine.connect() as connection:
        row = connection.execute(
            text(f"SELECT {noon}, {noon}::text, '1 month 2 days'::interval, '\\xff'::bytea::text")
        ).one()
        isolation = connection.scalar(text("SHOW transaction_isolation"))
        limit = connection.scalar(text("SHOW statement_timeout"))

    assert row[0] == datetime(2026, 2, 3, 12, tzinfo=UTC)
    assert list(row)[1:] == ["2026-02-03 12:00:00+00", timedelta(days=32), "\\xff"]
    assert (isolation, limit) == ("read committed", f"{STATEMENT_SECONDS:g}s")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_store_every_text_is_refused_and_no_event_blamed(
    postgres_server: Postgres, encoding: str
) -> None:
    order(
        postgres_server,
        f"CREATE DATABASE other ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0",
    )
    with (
        opened(postgres_server.url_of("other")) as engine,
        pytest.raises(OperationalError, match=f"is {encoding}, and Paidup needs UTF8") as refused,
        engine.connect(),
    ):
        pass
    order(postgres_server, "DROP DATABASE other")

    assert isinstance(refused.value.orig, UnusableEncoding)
    assert isinstance(classify(refused.value), Infrastructure)


def test_tables_of_the_same_names_in_another_schema_are_never_taken_for_ours(
    database: str, postgres_server: Postgres
) -> None:
    with opened(database) as engine, engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA shop"))
        connection.execute(text("CREATE TABLE shop.customers (name text)"))
        connection.execute(text("CREATE TABLE shop.alembic_version (version_num text)"))
    order(postgres_server, f"ALTER DATABASE {name_of(database)} SET search_path = shop, public")

    with opened(database) as engine:
        assert schema.problem(engine) is None
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(stripe_customer_id) FROM customers")) == 0


@pytest.mark.parametrize("path", ["nowhere", "shop", ""], ids=["missing", "another", "empty"])
def test_a_search_path_that_leads_past_our_tables_does_not_hide_them(
    database: str, postgres_server: Postgres, path: str
) -> None:
    with opened(database) as engine, engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA shop"))
    order(postgres_server, f"ALTER DATABASE {name_of(database)} SET search_path = '{path}'")

    with opened(database) as engine:
        assert schema.problem(engine) is None


def test_a_schema_that_was_chosen_for_a_role_gets_a_paidup_of_its_own(
    database: str, postgres_server: Postgres
) -> None:
    with opened(database) as engine, engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA rehearsal"))
    order(
        postgres_server,
        f"ALTER ROLE paidup IN DATABASE {name_of(database)} SET search_path = rehearsal",
    )
    with opened(database) as engine:
        assert "no Paidup schema" in str(schema.problem(engine))
        schema.upgrade(engine)
        with engine.connect() as connection:
            both = connection.execute(
                text("SELECT schemaname FROM pg_tables WHERE tablename = 'stripe_events'")
            )
            assert set(both.scalars()) == {"public", "rehearsal"}


def test_a_schema_that_was_chosen_and_does_not_exist_hides_nothing(
    database: str, postgres_server: Postgres
) -> None:
    order(
        postgres_server,
        f"ALTER ROLE paidup IN DATABASE {name_of(database)} SET search_path = nowhere",
    )

    with opened(database) as engine:
        assert schema.problem(engine) is None


def test_without_a_usable_search_path_a_migration_takes_the_public_schema(
    empty: str, postgres_server: Postgres
) -> None:
    order(postgres_server, f"ALTER DATABASE {name_of(empty)} SET search_path = nowhere")
    with opened(empty) as engine:
        schema.upgrade(engine)
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT to_regclass('public.stripe_events')")) is not None


def test_the_operators_own_schema_is_kept_also_beside_another_paidup(
    empty: str, postgres_server: Postgres
) -> None:
    def of(path: str) -> str:
        return f"{empty}?options=-c%20search_path%3D{path}"

    with opened(empty) as engine, engine.begin() as connection:
        for name in ("live", '"Test 100%"'):
            connection.exec_driver_sql(
                f"CREATE SCHEMA {name}", execution_options={"no_parameters": True}
            )
    paths = {"live": "live", "Test 100%": "%22Test%5C%20100%25%22"}
    for path in paths.values():
        with opened(of(path)) as engine:
            schema.upgrade(engine)

    for name, path in paths.items():
        with opened(of(path)) as engine:
            assert schema.problem(engine) is None
            with engine.connect() as connection:
                assert connection.scalar(text("SELECT current_schema()")) == name


def test_a_connection_that_was_there_before_the_tables_finds_them_afterwards(
    empty: str, postgres_server: Postgres
) -> None:
    with opened(empty) as waiting:
        assert "no Paidup schema" in str(schema.problem(waiting))
        with opened(empty) as engine, engine.begin() as connection:
            connection.execute(text("CREATE SCHEMA apart"))
        with opened(f"{empty}?options=-c%20search_path%3Dapart") as engine:
            schema.upgrade(engine)

        assert schema.problem(waiting) is None


def test_a_connection_with_our_tables_stays_open(database: str) -> None:
    with opened(database) as engine:
        pids = set()
        for _ in range(3):
            with engine.connect() as connection:
                pids.add(connection.scalar(text("SELECT pg_backend_pid()")))

    assert len(pids) == 1
