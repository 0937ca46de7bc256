"""The application's role has every right that recording needs, and none to rewrite history."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from ops.samples.api_shapes import Shape
from ops.samples.lifecycles.registry import compose
from ops.up.servers.postgres_server import Postgres
from runtime import roles, schema
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from runtime.ledger.catalogues import CatalogueCache
from runtime.ledger.maintenance.reproject import project_due, reproject
from runtime.ledger.record import Ledger
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import NOW, deliveries, example_plans, rows

pytestmark = pytest.mark.servers


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="test")
    catalogues.install_first(engine, example_plans(), actor="test", reason="test")
    yield engine
    engine.dispose()


@pytest.fixture
def as_application(postgres_server: Postgres, engine: Engine, database: str) -> Iterator[Engine]:
    """Open sessions that act as the application's role."""
    name, role = database.rpartition("/")[2], roles.APPLICATION_ROLE
    with psycopg.connect(postgres_server.admin_url, dbname=name, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role}")
        with engine.begin() as connection:
            roles.grant_rights(connection, role)
        url = postgres_server.admin_url.rpartition("/")[0]
        limited = engine_for(f"{url}/{name}?options=-c%20role%3D{role}", application_name="test")
        yield limited
        limited.dispose()
        admin.execute(f"DROP OWNED BY {role}")
        admin.execute(f"DROP ROLE {role}")


@pytest.fixture
def ledger(as_application: Engine) -> Ledger:
    return ledger_on(as_application)


def test_everything_can_be_recorded(ledger: Ledger, as_application: Engine) -> None:
    for name in ("refund_full", "renewal"):
        events = deliveries(compose(name, shape=Shape.NEW, seed="rights", now=NOW))
        ledger.record(events[::-1])
    parties = rows(as_application, "SELECT party FROM parties")

    assert reproject(as_application, CatalogueCache(), parties, actor="ada", reason="why") == len(
        parties
    )
    assert project_due(as_application, CatalogueCache(), 10) == 0


def test_the_application_can_check_the_schema(as_application: Engine) -> None:
    assert schema.problem(as_application) is None


@pytest.mark.parametrize("change", ["UPDATE audit_logs SET actor = 'x'", "TRUNCATE audit_logs"])
def test_the_proof_is_out_of_reach_before_any_trigger(as_application: Engine, change: str) -> None:
    with (
        as_application.connect() as connection,
        pytest.raises(ProgrammingError, match="permission denied"),
    ):
        connection.execute(text(change))
