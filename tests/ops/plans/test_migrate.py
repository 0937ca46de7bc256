from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from billing.errors import InvalidCatalogue
from ops.doctor.check_postgres import check_postgres
from ops.doctor.findings import State
from ops.errors import user_message
from ops.plans.migrate import migrate, plans_drift
from ops.up.servers.postgres_server import Postgres
from paidup import __version__
from runtime import schema
from runtime.database.engine import engine_for
from runtime.database.pooler import PoolerBetween
from runtime.plans_file import PlansMissing
from runtime.settings import Settings
from tests.next_schema import NextReleases
from tests.pgbouncer import PgBouncer

pytestmark = pytest.mark.servers

PLANS = '[plans.premium]\nprices = ["price_1"]\n'


@pytest.fixture
def empty_database(postgres_server: Postgres) -> Iterator[str]:
    yield postgres_server.create_database("to_migrate")
    postgres_server.drop_database("to_migrate")


@pytest.fixture
def settings(empty_database: str, tmp_path: Path) -> Settings:
    plans = tmp_path / "plans.toml"
    plans.write_text(PLANS)
    return Settings.from_env({"DATABASE_URL": empty_database, "PAIDUP_PLANS": str(plans)})


@pytest.fixture
def engine(empty_database: str) -> Iterator[Engine]:
    engine = engine_for(empty_database, application_name="tests")
    yield engine
    engine.dispose()


def said_by_migrate(settings: Settings) -> list[str]:
    """Migrate, and return what it says of schema and plans; the owner may not create roles."""
    said: list[str] = []
    migrate(settings, report=said.append)
    (of_roles,) = [line for line in said if "may not set up the roles" in line]
    return [line for line in said if line != of_roles]


def test_a_new_database_gets_schema_and_plans_and_the_audit_says_who(
    settings: Settings, engine: Engine
) -> None:
    said = said_by_migrate(settings)

    assert len(said) == 2
    assert "now the catalogue of record (version 1)" in said[1]
    with engine.connect() as connection:
        assert connection.scalar(text("select max(version) from catalogues")) == 1
        actor = connection.scalar(
            text("select actor from audit_logs where action = 'catalogue.applied'")
        )
    assert str(actor).startswith("cli:")


def test_again_there_is_nothing_to_do(settings: Settings) -> None:
    said_by_migrate(settings)

    assert len(said_by_migrate(settings)) == 1


def test_a_file_that_differs_is_named_and_changes_nothing(
    settings: Settings, engine: Engine
) -> None:
    said_by_migrate(settings)
    settings.plans_path.write_text(PLANS.replace("price_1", "price_2"))

    said = said_by_migrate(settings)

    assert "differs from the plans of record (version 1), which stay in force" in said[1]
    with engine.connect() as connection:
        assert connection.scalar(text("select max(version) from catalogues")) == 1


def test_a_file_of_other_spelling_does_not_differ(settings: Settings, engine: Engine) -> None:
    said_by_migrate(settings)
    settings.plans_path.write_text(f"# the same\n{PLANS}grace_days = 0\n")

    assert plans_drift(engine, settings) is None


def test_a_file_that_went_or_broke_later_is_named(settings: Settings, engine: Engine) -> None:
    said_by_migrate(settings)

    settings.plans_path.write_text("[plans.x]\nprice = 1")
    assert "not usable" in str(plans_drift(engine, settings))
    settings.plans_path.unlink()
    assert "No such file" in str(plans_drift(engine, settings))


def test_without_plans_of_record_a_missing_file_is_an_error(settings: Settings) -> None:
    settings.plans_path.unlink()

    with pytest.raises(PlansMissing, match=r"plans\.toml: No such file .*PAIDUP_PLANS"):
        migrate(settings)


def test_without_plans_of_record_a_broken_file_is_an_error(settings: Settings) -> None:
    settings.plans_path.write_text("[plans.x]\nprice = 1")

    with pytest.raises(InvalidCatalogue):
        migrate(settings)


def test_what_an_administrator_must_run_is_shown_and_all_else_is_done(
    settings: Settings, engine: Engine
) -> None:
    said: list[str] = []
    migrate(settings, report=said.append)

    (of_roles,) = [line for line in said if "may not set up the roles" in line]
    assert of_roles.splitlines()[1:] == [
        "    CREATE ROLE paidup_app;",
        "    CREATE ROLE paidup_reader;",
    ]
    assert schema.problem(engine) is None
    assert "now the catalogue of record" in said[-1]


def test_the_services_role_of_the_url_is_made_by_an_owner_who_may(
    settings: Settings, postgres_server: Postgres
) -> None:
    owner = postgres_server.admin_url.rpartition("/")[0] + "/to_migrate"
    services = postgres_server.url_of("to_migrate").replace("paidup:", "to_migrate_app:")
    two = replace(settings, owner_database_url=owner, database_url=services)
    said: list[str] = []

    migrate(two, report=said.append)

    with psycopg.connect(services) as connection:
        assert connection.execute("select from stripe_events").rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from audit_logs")
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        postgres_server.drop_database("to_migrate")
        for role in ("to_migrate_app", "paidup_app", "paidup_reader"):
            admin.execute(f"drop role {role}")
        postgres_server.create_database("to_migrate")
    assert "created the role to_migrate_app as DATABASE_URL names it" in said
    assert "to_migrate_app has the rights of paidup_app now" in said


def test_a_pooler_is_refused_and_the_owner_s_own_way_is_taken(
    settings: Settings, engine: Engine, empty_database: str, pooler: PgBouncer
) -> None:
    through = replace(settings, database_url=pooler.url_of(empty_database))

    with pytest.raises(PoolerBetween, match="set PAIDUP_OWNER_DATABASE_URL") as refused:
        said_by_migrate(replace(through, owner_database_url=through.database_url))
    assert user_message(refused.value) == str(refused.value)
    assert "no Paidup schema" in str(schema.problem(engine))

    said_by_migrate(through)
    assert schema.problem(engine) is None


def test_a_database_that_cannot_store_every_name_is_refused_in_one_sentence(
    settings: Settings, postgres_server: Postgres
) -> None:
    with postgres_server._connect() as connection:
        connection.execute(
            "CREATE DATABASE latin_migrate ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
        )
    latin = postgres_server.url_of("latin_migrate")
    with pytest.raises(OperationalError) as refused:
        said_by_migrate(replace(settings, owner_database_url=latin))
    found = list(check_postgres(replace(settings, database_url=latin)))
    postgres_server.drop_database("latin_migrate")

    said = "the encoding of the database is LATIN1, and Paidup needs UTF8"
    assert said in str(user_message(refused.value))
    assert [(each.state, each.says.startswith(said)) for each in found] == [(State.PROBLEM, True)]


def test_a_release_that_was_put_back_leaves_schema_and_roles_of_the_newer_one(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    said_by_migrate(settings)
    releases = NextReleases(engine, tmp_path / "next")
    releases.migrate(["ALTER TABLE customers ADD COLUMN note TEXT"], oldest_release=__version__)
    said: list[str] = []

    migrate(settings, report=said.append)

    assert said == [
        f"the schema is at {releases.revision}, of a newer release, on which {__version__} may run"
    ]
