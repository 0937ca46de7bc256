"""The figures of searches: every search finds whom it asks for, on a database that is filled so."""

from collections.abc import Iterator

import pytest
from rich.console import Console
from sqlalchemy import Engine

from bench import search
from bench.search import SEARCHES, Milliseconds
from runtime.database.engine import engine_for


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


@pytest.mark.servers
def test_every_search_finds_its_customer_with_indexes_and_without(engine: Engine) -> None:
    before = search.write_times(engine, 1)
    search.fill(engine, 3000)

    found = search.search_times(engine, 3000, 1)

    assert [*found] == [each.name for each in SEARCHES]
    assert all(times.with_indexes > 0 and times.without > 0 for times in found.values())
    assert before.keys() == search.write_times(engine, 1).keys() == {"known", "new"}


@pytest.mark.servers
def test_a_search_that_finds_nothing_gives_no_figure(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match=r"a user id of customer \d+ is not found"):
        search.search_times(engine, 3000, 1)


def test_the_table_says_how_much_longer_a_search_takes_without_indexes() -> None:
    tables = search.shown({"a name": Milliseconds(2.0, 300.0)}, {"new": 0.5}, {"new": 0.75})
    console = Console(width=100)
    with console.capture() as printed:
        console.print(*tables)

    words = printed.get().split()
    assert [each for each in words if each in {"2.00", "300.0", "150"}] == ["2.00", "300.0", "150"]
    assert {"0.75", "0.50"} <= {*words}
