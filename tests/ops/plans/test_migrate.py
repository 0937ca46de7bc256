from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from billing.errors import InvalidCatalogue
from ops.plans.migrate import migrate, plans_drift
from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import engine_for
from runtime.plans_file import PlansMissing
from runtime.settings import Settings

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
    said: list[str] = []
    migrate(settings, report=said.append)
    return said


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
