"""A walk stores each object of a list once, whatever happens meanwhile."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from runtime.database.engine import engine_for
from tests.ops.stripe_runs.walk_builders import NOW, ListedEvents, run_of, stored_ids, walk_of

pytestmark = pytest.mark.servers


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="test", pool_size=12)
    yield engine
    engine.dispose()


def even(number: int, *, since: int = 30 * 86_400) -> list[tuple[int, str]]:
    """Return events that came evenly over a span until now."""
    return [(NOW - 10 - since + since * each // number, f"evt_{each}") for each in range(number)]


def test_every_object_is_stored_once_with_few_requests(engine: Engine) -> None:
    listed = ListedEvents(even(5_000))
    walk = walk_of(engine, listed, run_of(engine))

    found = list(stored_ids(engine, walk))

    assert sorted(found) == sorted(name for _, name in listed.objects)
    assert walk.requests == len(listed.asked) <= 50 * 1.5
    print(len(listed.asked), [(p.pages, p.objects) for p in walk.progress()])
