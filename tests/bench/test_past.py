"""A past that is loaded at once is the one that the same events leave when each is recorded."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from bench import mixes, past
from bench.growth.parties import KINDS, grown
from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import engine_for
from runtime.failures.rehearsal import make_delivery
from runtime.ledger import catalogues
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import contents, example_plans, rows, unbalanced

pytestmark = pytest.mark.servers

WAY = ("audit_logs", "payment_events", "user_versions")
"""Tables that tell how a state was reached."""


@pytest.fixture
def loaded(database: str) -> Iterator[Engine]:
    yield from _with_plans(database)


@pytest.fixture
def recorded(postgres_server: Postgres, database_template: str) -> Iterator[Engine]:
    url = postgres_server.create_database("bench_recorded", template=database_template)
    yield from _with_plans(url)
    postgres_server.drop_database("bench_recorded")


def _with_plans(url: str) -> Iterator[Engine]:
    engine = engine_for(url, application_name="test")
    catalogues.install_first(engine, example_plans(), actor="test", reason="test")
    yield engine
    engine.dispose()


def _pasts() -> list[bytes]:
    old = (mixes.OldCustomers(payments=3, customers=2, every=10),)
    several = [grown(kind, 4, "seed", ahead=2).heard() for kind in KINDS]
    return [*mixes.past(old), *(body for bodies in several for body in bodies)]


def test_a_loaded_past_is_that_of_recorded_events(
    loaded: Engine, recorded: Engine, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "_STORED_AT_ONCE", 3)  # so that objects join across batches
    bodies = _pasts()

    past.load_past(database, bodies)
    for body in bodies:
        ledger_on(recorded).record([make_delivery(body)])

    assert rows(loaded, "SELECT count(*) FROM payments") == [4 + 5 + 1 + 1 + 6]
    assert contents(loaded, without=WAY) == contents(recorded, without=WAY)
    assert unbalanced(loaded) == []


def test_a_loaded_database_is_analyzed(loaded: Engine, database: str) -> None:
    past.load_past(database, _pasts())

    past.analyze(database)

    (estimate,) = rows(loaded, "SELECT reltuples::int FROM pg_class WHERE relname = 'facts'")
    assert [estimate] == rows(loaded, "SELECT count(*) FROM facts")
