"""`doctor` writes what a worker writes, as the role of the services, and rolls it back."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine, text

from models.tables import metadata
from ops.doctor.check_recording import check_recording
from ops.doctor.findings import State
from ops.up.servers.postgres_server import Postgres
from runtime import roles
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from tests.runtime.ledger.delivery_builders import example_plans

pytestmark = pytest.mark.servers

ROLE = "paidup_doctor_test"


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="test")
    yield engine
    engine.dispose()


@pytest.fixture
def admin(postgres_server: Postgres, database: str) -> Iterator[psycopg.Connection]:
    name = database.rpartition("/")[2]
    with psycopg.connect(postgres_server.admin_url, dbname=name, autocommit=True) as admin:
        yield admin


@pytest.fixture
def limited(
    postgres_server: Postgres, engine: Engine, admin: psycopg.Connection
) -> Iterator[Engine]:
    """Open sessions of a role that has the rights of the services."""
    catalogues.install_first(engine, example_plans(), actor="test", reason="test")
    admin.execute(f"CREATE ROLE {ROLE}")
    with engine.begin() as connection:
        roles.grant_rights(connection, ROLE)
    url = f"{postgres_server.admin_url.rpartition('/')[0]}/{admin.info.dbname}"
    limited = engine_for(f"{url}?options=-c%20role%3D{ROLE}", application_name="test")
    yield limited
    limited.dispose()
    admin.execute(f"DROP OWNED BY {ROLE}")
    admin.execute(f"DROP ROLE {ROLE}")


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            name: connection.scalar(text(f"SELECT count(*) FROM {name}"))  # noqa: S608 - our tables
            for name in metadata.tables
        }


def test_everything_is_written_as_the_services_role_and_nothing_stays(
    limited: Engine, engine: Engine
) -> None:
    before = counts(engine)

    finding = check_recording(limited)

    assert finding.state is State.OK, finding.says
    assert f"as role {ROLE}" in finding.says
    assert counts(engine) == before


@pytest.mark.parametrize(
    "table", ["stripe_events", "user_entitlements", "payments", "audit_logs", "dead_letters"]
)
def test_a_table_that_the_role_may_not_write_is_named(
    limited: Engine, admin: psycopg.Connection, table: str
) -> None:
    admin.execute(f"REVOKE INSERT ON {table} FROM {ROLE}")

    finding = check_recording(limited)

    assert finding.state is State.PROBLEM
    assert f"permission denied for table {table}" in finding.says


def test_a_trigger_that_refuses_our_rows_is_named(
    limited: Engine, admin: psycopg.Connection
) -> None:
    admin.execute("ALTER TABLE payments ADD CONSTRAINT none_ever CHECK (false) NOT VALID")

    finding = check_recording(limited)

    assert finding.state is State.PROBLEM
    assert "none_ever" in finding.says


def test_without_plans_it_says_so(engine: Engine) -> None:
    finding = check_recording(engine)

    assert finding.state is State.PROBLEM
    assert "migrate" in finding.says
