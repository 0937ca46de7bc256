"""The figures of plans: they come from a plan of all dead letters and a preview that shows some."""

from collections.abc import Iterator

import pytest
from rich.console import Console
from sqlalchemy import Engine

from bench import bulk
from bench.bulk import PreviewSeconds
from ops.demo.plans import PLANS
from runtime.database.engine import engine_for
from runtime.ledger.catalogues import install_first
from runtime.plans_file import read_plans


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    install_first(engine, read_plans(PLANS), actor="tests", reason="tests")
    yield engine
    engine.dispose()


@pytest.mark.servers
def test_a_preview_of_the_dead_letters_shows_differences_and_is_stopped(
    engine: Engine, database: str
) -> None:
    bulk.fill(database, 500)

    measured = bulk.measure(engine, 0.0)

    assert measured.first > 0
    assert measured.longest_step > 0
    assert measured.rate > 0
    with engine.connect() as connection:
        (plan,) = connection.exec_driver_sql("SELECT items, state FROM bulk_plans")
    assert tuple(plan) == (500, "planned")


def test_the_table_names_each_figure() -> None:
    console = Console(record=True, width=100)
    measured = PreviewSeconds(plan=1.0, first=0.5, longest_step=0.75, stop=0.25, rate=180.0)

    console.print(*bulk.shown(100_000, measured))

    said = console.export_text()
    assert "100,000 dead letters" in said
    assert all(figure in said for figure in ("1.00", "0.50", "0.75", "0.25", "180"))
