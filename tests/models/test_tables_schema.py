"""The migration builds exactly what the models say, and PostgreSQL protects append-only tables."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, Table, inspect, text
from sqlalchemy.exc import DBAPIError

from models.tables import (
    APPEND_ONLY,
    VIEWS,
    effective_entitlements,
    entitlement_changes,
    entitlement_epoch,
    entitlement_versions,
    metadata,
)
from ops.up.servers.postgres_server import Postgres
from runtime import roles, schema
from runtime.database.engine import engine_for

pytestmark = pytest.mark.servers


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="test")
    yield engine
    engine.dispose()


@pytest.fixture
def role(postgres_server: Postgres, database: str) -> Iterator[str]:
    """Make the application's role as a superuser: the test's own role cannot create any."""
    with _made(postgres_server, database, roles.APPLICATION_ROLE) as role:
        yield role


@pytest.fixture
def reader(postgres_server: Postgres, database: str) -> Iterator[str]:
    with _made(postgres_server, database, roles.READER_ROLE) as role:
        yield role


@contextmanager
def _made(server: Postgres, database: str, role: str) -> Iterator[str]:
    name = database.rpartition("/")[2]
    with psycopg.connect(server.admin_url, dbname=name, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role}")
        yield role
        admin.execute(f"DROP OWNED BY {role}")
        admin.execute(f"DROP ROLE {role}")


def test_models_and_migrations_say_the_same(engine: Engine) -> None:
    with engine.connect() as connection:
        options = {"compare_server_default": True, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)

        assert compare_metadata(context, metadata) == []


def test_every_check_of_the_models_is_kept_by_the_database(engine: Engine) -> None:
    for table in metadata.sorted_tables:
        declared = {c.name for c in table.constraints if isinstance(c, CheckConstraint)}
        kept = {check["name"] for check in inspect(engine).get_check_constraints(table.name)}
        assert declared == kept


def test_storage_that_is_updated_in_place_leaves_room(engine: Engine) -> None:
    query = text("SELECT relname FROM pg_class WHERE 'fillfactor=80' = ANY(reloptions)")
    with engine.connect() as connection:
        roomy = set(connection.scalars(query))

    assert roomy == {
        table.name
        for table in metadata.sorted_tables
        if table.dialect_options["postgresql"]["with"] == {"fillfactor": 80}
    }


@pytest.mark.parametrize(
    "view",
    [effective_entitlements, entitlement_changes, entitlement_epoch, entitlement_versions],
    ids=str,
)
def test_a_view_has_the_columns_that_are_promised(engine: Engine, view: Table) -> None:
    columns = [column["name"] for column in inspect(engine).get_columns(view.name)]

    assert columns == [column.name for column in view.columns]


def test_down_and_up_again(engine: Engine) -> None:
    schema.downgrade(engine)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    assert inspect(engine).get_view_names() == []
    assert schema.problem(engine) is not None

    schema.upgrade(engine)
    assert schema.problem(engine) is None


def test_the_problem_of_an_empty_database_says_what_to_run(engine: Engine) -> None:
    schema.downgrade(engine)

    assert "paidup migrate" in (schema.problem(engine) or "")


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = DEFAULT", "DELETE FROM {}", "TRUNCATE {}"])
def test_proof_cannot_be_changed_even_by_its_owner(engine: Engine, table: str, change: str) -> None:
    key = next(iter(metadata.tables[table].primary_key)).name
    with engine.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text(change.format(table, key)))


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_the_application_may_add_to_the_proof_and_read_it(
    engine: Engine, role: str, table: str
) -> None:
    with engine.begin() as connection:
        assert roles.grant_rights(connection, role)

    assert _rights(engine, role, table) == {"SELECT", "INSERT"}


def test_the_application_may_work_on_what_can_be_computed_again(engine: Engine, role: str) -> None:
    schema.upgrade(engine)

    assert _rights(engine, role, "payments") == {"SELECT", "INSERT", "UPDATE", "DELETE"}
    assert _rights(engine, role, "alembic_version") == {"SELECT"}
    assert _rights(engine, role, "schema_release") == {"SELECT"}


def test_an_application_that_reads_may_read_what_users_may_do_and_nothing_else(
    engine: Engine, reader: str
) -> None:
    schema.upgrade(engine)
    rights = {name: _rights(engine, reader, name) for name in (*metadata.tables, *VIEWS)}

    assert {name: may for name, may in rights.items() if may} == {
        "effective_entitlements": {"SELECT"},
        "entitlement_changes": {"SELECT"},
        "entitlement_epoch": {"SELECT"},
        "entitlement_versions": {"SELECT"},
        "user_entitlements": {"SELECT"},
    }


def test_rights_wait_until_the_role_exists(engine: Engine) -> None:
    with engine.begin() as connection:
        assert not roles.grant_rights(connection, "nobody_of_this_name")
        assert not roles.grant_reading(connection, "nobody_of_this_name")


def _rights(engine: Engine, role: str, table: str) -> set[str]:
    every = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
    query = text("SELECT has_table_privilege(:role, :table, :right)")
    with engine.connect() as connection:
        return {
            right
            for right in every
            if connection.scalar(query, {"role": role, "table": table, "right": right})
        }
