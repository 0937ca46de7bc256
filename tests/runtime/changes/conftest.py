"""A migrated database with plans, an empty Redis, and the relay between them."""

from collections.abc import Iterator
from itertools import count

import pytest
import redis
from sqlalchemy import Engine

from runtime.changes.relay import Relay
from runtime.changes.stream import ChangeStream
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
    return Ledger(engine, livemode="any", accounts=frozenset())


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


@pytest.fixture
def stream(client: redis.Redis) -> ChangeStream:
    return ChangeStream(client, length=1000)


@pytest.fixture
def relay(engine: Engine, stream: ChangeStream) -> Relay:
    """A relay that looks at the stream in every round."""
    times = count(step=100)
    return Relay(engine=engine, stream=stream, clock=lambda: float(next(times)))
