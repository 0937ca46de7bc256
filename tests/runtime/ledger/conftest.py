from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import inf

import pytest
from sqlalchemy import Engine

from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import example_plans, unbalanced


@pytest.fixture
def empty_engine(database: str) -> Iterator[Engine]:
    """Open a migrated database without plans; at the end every payment must be in balance."""
    engine = engine_for(database, application_name="test", pool_size=12)
    yield engine
    assert unbalanced(engine) == []
    engine.dispose()


@pytest.fixture
def engine(empty_engine: Engine) -> Engine:
    """Return a migrated database with the plans of the sample shop."""
    catalogues.install_first(empty_engine, example_plans(), actor="test", reason="test")
    return empty_engine


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    """Return a ledger that counts every mode and no Connect account."""
    return ledger_on(engine)


@pytest.fixture
def another_engine(
    postgres_server: Postgres, database_template: str
) -> Iterator[Callable[[str], Engine]]:
    """Make further databases like ``engine``, to compare what two histories leave."""
    with ExitStack() as made:

        def make(name: str) -> Engine:
            url = postgres_server.create_database(name, template=database_template)
            engine = engine_for(url, application_name="test", pool_size=12)
            made.callback(postgres_server.drop_database, name)
            made.callback(engine.dispose)
            catalogues.install_first(engine, example_plans(), actor="test", reason="test")
            return engine

        yield make


def ledger_on(engine: Engine) -> Ledger:
    """Return a ledger of its own, as another process would have.

    It decides without a limit: a busy machine would leave a part of a large batch.
    """
    return Ledger(engine, livemode="any", accounts=frozenset(), deciding_seconds=inf)
