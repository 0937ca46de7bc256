"""A further grant of a person reads as much after many grants as after few."""

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import Engine, text

from bench.growth.grants import BenchGrants
from bench.growth.reading import ReadingCounter
from bench.past import analyze
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from tests.runtime.ledger.delivery_builders import example_plans

pytestmark = pytest.mark.servers


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="test", pool_size=1)
    catalogues.install_first(engine, example_plans(), actor="test", reason="test")
    yield engine
    engine.dispose()


def test_a_further_grant_reads_no_more_after_many_than_after_few(
    engine: Engine, database: str
) -> None:
    stated, counter = BenchGrants(engine), ReadingCounter(engine)
    stated.load("usr_few", 100)
    stated.load("usr_many", 1000)
    analyze(database)

    few, many = (
        counter.of_work(partial(stated.add_in, user=user)) for user in ("usr_few", "usr_many")
    )

    assert many.rows <= few.rows
    assert many.kilobytes < 1.1 * few.kilobytes


def test_grants_that_are_tried_out_leave_no_trace(engine: Engine) -> None:
    stated = BenchGrants(engine)
    stated.try_out("usr_1")
    stated.add("usr_2")

    with engine.connect() as connection:
        users = connection.scalars(text("SELECT user_id FROM user_entitlements"))
        assert list(users) == ["usr_2"]
