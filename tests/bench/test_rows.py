"""Copied rows and piped rows fit the schema as it is."""

from collections.abc import Iterator

import pytest

from bench import rows
from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import engine_for
from runtime.ledger import catalogues
from tests.runtime.ledger.conftest import ledger_on
from tests.runtime.ledger.delivery_builders import checkout, delivery, event, example_plans

pytestmark = pytest.mark.servers

_EVENTS = 4


@pytest.fixture
def settled(database: str) -> str:
    """Return the URL of a database that settled some purchases."""
    engine = engine_for(database, application_name="test")
    catalogues.install_first(engine, example_plans(), actor="test", reason="test")
    for number in range(_EVENTS):
        body = event(
            "checkout.session.completed",
            checkout(f"cs_1Aaaa{number}0001"),
            id=f"evt_1Aaaa{number}0001",
        )
        ledger_on(engine).record([delivery(body)])
    engine.dispose()
    return database


@pytest.fixture
def empty(postgres_server: Postgres, database_template: str) -> Iterator[str]:
    """Yield the URL of a migrated database that settled nothing."""
    yield postgres_server.create_database("bench_target", template=database_template)
    postgres_server.drop_database("bench_target")


def test_a_database_is_filled_with_copies_of_every_row_that_events_wrote(
    settled: str, empty: str
) -> None:
    rows.fill(settled, empty, 3)

    once, filled = _counts(settled), _counts(empty)
    assert once["stripe_events"] == _EVENTS
    assert filled.pop("user_versions") == 0
    assert filled == {name: 3 * count for name, count in once.items() if name in filled}


def test_the_rows_of_events_go_through_one_pipeline(settled: str, empty: str) -> None:
    assert rows.pipelined(empty, rows.tables(settled, with_rows=True), _EVENTS) > 0

    assert _counts(empty) == _counts(settled)


def _counts(url: str) -> dict[str, int]:
    return {table.name: len(table.rows) for table in rows.tables(url, with_rows=True)}
