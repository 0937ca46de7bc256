"""A migrated database with plans."""

from collections.abc import Iterator
from math import inf

import pytest
from sqlalchemy import Engine

from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import example_plans


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="test", pool_size=6)
    catalogues.install_first(engine, example_plans(), actor="test", reason="test")
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine, livemode="any", accounts=frozenset(), deciding_seconds=inf)
