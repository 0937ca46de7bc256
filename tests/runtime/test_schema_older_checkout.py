"""A database from before the first release is refused with instructions, and stays as it is."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, inspect, text

from ops.errors import user_message
from runtime import schema
from runtime.database.engine import engine_for

pytestmark = pytest.mark.servers


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="test")
    yield engine
    engine.dispose()


@pytest.fixture(params=["0001", "0002", "0003"])
def older_revision(request: pytest.FixtureRequest, engine: Engine) -> str:
    """Give the database a revision that an older checkout left, none of which named a release."""
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE schema_release"))
        connection.execute(
            text("UPDATE alembic_version SET version_num = :r"), {"r": request.param}
        )
    return str(request.param)


def test_migrating_it_is_refused_in_one_sentence(engine: Engine, older_revision: str) -> None:
    before = set(inspect(engine).get_table_names())

    with pytest.raises(schema.OlderCheckoutSchema) as refused:
        schema.upgrade(engine)

    said = str(refused.value)
    assert user_message(refused.value) == said
    assert f"revision {older_revision}" in said
    assert "\n" not in said
    assert ". " not in said
    steps = ("empty the inbox", "dead letters", "`paidup events export`", "`paidup replay --from")
    assert [step in said for step in steps] == [True] * 4
    assert set(inspect(engine).get_table_names()) == before


def test_every_command_says_the_same_before_it_starts(engine: Engine, older_revision: str) -> None:
    assert schema.problem(engine) == str(schema.OlderCheckoutSchema(older_revision))
