"""``doctor`` compares the rights of DATABASE_URL's role with those that the services need."""

from collections.abc import Iterator

import psycopg
import pytest

from ops.doctor.check_postgres import check_postgres
from ops.doctor.check_roles import check_roles
from ops.doctor.findings import Finding, State
from ops.up.servers.postgres_server import Postgres
from runtime import roles, schema
from runtime.database.engine import engine_for
from runtime.settings import Settings

pytestmark = pytest.mark.servers


@pytest.fixture
def services(postgres_server: Postgres, database: str) -> Iterator[str]:
    """Yield the URL of the services' role, which has no rights yet."""
    name = database.rpartition("/")[2]
    url = postgres_server.make_login(roles.APPLICATION_ROLE, "services", database=name)
    yield url
    with psycopg.connect(postgres_server.admin_url, dbname=name, autocommit=True) as admin:
        admin.execute(f"DROP OWNED BY {roles.APPLICATION_ROLE}")
        admin.execute(f"DROP ROLE {roles.APPLICATION_ROLE}")


def found(url: str) -> list[Finding]:
    engine = engine_for(url, application_name="tests")
    with engine.connect() as connection:
        findings = list(check_roles(connection))
    engine.dispose()
    return findings


def migrated(url: str) -> None:
    engine = engine_for(url, application_name="tests")
    schema.upgrade(engine)
    engine.dispose()


def test_the_role_of_the_services_is_in_order(database: str, services: str) -> None:
    migrated(database)

    assert [each.state for each in found(services)] == [State.OK]


def test_one_role_for_everything_is_a_warning_that_says_what_to_do(database: str) -> None:
    (finding,) = found(database)

    assert finding.state is State.WARNING
    assert "paidup runs the services and could change the audit" in finding.says
    assert "put paidup_app into DATABASE_URL and paidup into PAIDUP_OWNER_DATABASE_URL" in (
        finding.says
    )


def test_a_role_without_rights_is_a_problem_and_no_unreachable_server(services: str) -> None:
    found = list(check_postgres(Settings.from_env({"DATABASE_URL": services})))

    problems = [each for each in found if each.state is State.PROBLEM]
    assert [each.check for each in problems] == ["rights", "schema"]
    assert problems[1].says.startswith("could not be checked: permission denied")
    assert problems[1].says.endswith("; run `paidup migrate` as the owner")
    assert problems[0].says.startswith("paidup_app lacks SELECT on ")
    assert problems[0].says.endswith(
        "run `paidup migrate` as the owner, with paidup_app in DATABASE_URL"
    )


def test_a_right_that_was_taken_away_is_named(database: str, services: str) -> None:
    migrated(database)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("REVOKE DELETE ON stripe_events FROM paidup_app")

    (finding,) = found(services)

    assert "paidup_app lacks DELETE on stripe_events: run" in finding.says


def test_a_missing_right_hides_no_later_check(database: str, services: str) -> None:
    migrated(database)
    with psycopg.connect(database, autocommit=True) as owner:
        for table in ("catalogues", "dead_letters"):
            owner.execute(f"REVOKE ALL ON {table} FROM paidup_app")

    found = {
        each.check: each for each in check_postgres(Settings.from_env({"DATABASE_URL": services}))
    }

    lacking = {check for check, each in found.items() if "permission denied" in each.says}
    assert lacking == {"plans", "recording", "dead letters", "comparisons"}
    assert found["rights"].state is State.PROBLEM
    assert {"schema", "changes", "lost data"} <= set(found)
    assert found["lost data"].state is State.OK


def test_a_database_without_tables_has_no_finding(postgres_server: Postgres, database: str) -> None:
    empty = postgres_server.create_database("no_tables")

    assert found(empty) == []

    postgres_server.drop_database("no_tables")
