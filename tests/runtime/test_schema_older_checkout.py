"""A database of an older checkout is refused with instructions, and stays as it is."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, inspect, text

from ops.errors import user_message
from runtime import schema
from runtime.database.engine import engine_for

pytestmark = pytest.mark.servers

RENAMED = "ALTER TABLE stripe_events RENAME COLUMN pending_fetches TO former_name"
NOT_YET_THERE = "ALTER TABLE stripe_events DROP COLUMN pending_fetches"


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="test")
    yield engine
    engine.dispose()


@pytest.fixture(
    params=[("0003", RENAMED), ("0002", RENAMED), ("0001", RENAMED), ("0001", NOT_YET_THERE)],
    ids=["0003", "0002", "0001 with its former name", "0001 without it"],
)
def older_revision(request: pytest.FixtureRequest, engine: Engine) -> str:
    """Give the database the columns and the revision that an older checkout left."""
    revision, change = request.param
    with engine.begin() as connection:
        connection.execute(text(change))
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    return str(revision)


def test_migrating_it_is_refused_in_one_sentence(engine: Engine, older_revision: str) -> None:
    before = inspect(engine).get_columns("stripe_events")

    with pytest.raises(schema.OlderCheckoutSchema) as refused:
        schema.upgrade(engine)

    said = str(refused.value)
    assert user_message(refused.value) == said
    assert f"revision {older_revision}" in said
    assert "\n" not in said
    assert ". " not in said
    steps = ("empty the inbox", "dead letters", "`paidup events export`", "`paidup replay --from")
    assert [step in said for step in steps] == [True] * 4
    assert [c["name"] for c in inspect(engine).get_columns("stripe_events")] == [
        column["name"] for column in before
    ]


def test_every_command_says_the_same_before_it_starts(engine: Engine, older_revision: str) -> None:
    assert schema.problem(engine) == str(schema.OlderCheckoutSchema(older_revision))


def test_a_column_that_is_ours_alone_is_no_sign_of_an_older_checkout(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE customers ADD COLUMN note TEXT"))

    assert schema.problem(engine) is None
