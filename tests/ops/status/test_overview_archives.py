"""Updates of archives that are under way, in ``status``, in metrics and in ``doctor``."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import RedisError
from sqlalchemy import text

from ops.doctor.check_archives import check_archives
from ops.doctor.findings import State
from runtime.telemetry import SharedStateCollector
from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.moves_in_steps import PARTY, begin_move, end_move
from workers.supervisor.shared_state import SharedStateReader, read_database_state

pytestmark = pytest.mark.servers

ARCHIVES = "SELECT count(DISTINCT archive) FROM facts WHERE archive <> ''"
NONE = {"parties": 0, "archives_left": 0, "oldest_since": None}


@pytest.fixture
def books(books: SeededDatabase, deployed: Callable[..., None], redis_url: str) -> SeededDatabase:
    """A customer whose move to another user has not reached the old payments."""
    deployed(DATABASE_URL=books.url, REDIS_URL=redis_url)
    begin_move(books.engine)
    return books


def gauges(books: SeededDatabase) -> tuple[float, float]:
    """Return the number of updates and the age of the oldest, as a scrape of a worker has them."""
    database = read_database_state(books.engine)
    reader = SharedStateReader(no_redis, lambda: database, no_redis)
    families = SharedStateCollector(reader).collect()
    values = {each.name: each.samples[0].value for each in families if each.samples}
    return values["billing_archive_updates"], values["billing_archive_updates_oldest_seconds"]


def no_redis() -> Any:
    raise RedisError


def begun(books: SeededDatabase, ago: str) -> None:
    """Have the update begun so long ago."""
    query = "UPDATE archive_updates SET began_at = now() - CAST(:ago AS interval)"
    with books.engine.begin() as connection:
        assert connection.execute(text(query), {"ago": ago}).rowcount


def test_status_names_what_is_left_until_the_last_archive_is_updated(
    books: SeededDatabase, paidup: Paidup
) -> None:
    with books.engine.connect() as connection:
        (left,) = connection.execute(text(ARCHIVES)).one()

    document = json.loads(paidup("status", "--json"))["archive_updates"]
    said = " ".join(paidup("status").split())
    end_move(books.engine)

    assert (document["parties"], document["archives_left"]) == (1, left)
    since = document["oldest_since"].replace("T", " ")[:19]
    assert (
        f"archive updates of 1 party, by a worker: {left} archives left, the oldest under way"
        f" since {since}Z" in said
    )
    assert json.loads(paidup("status", "--json"))["archive_updates"] == NONE
    assert "archive updates" not in paidup("status")


def test_the_gauges_count_updates_and_tell_the_age_of_the_oldest(books: SeededDatabase) -> None:
    begun(books, "1 hour")

    number, seconds = gauges(books)
    end_move(books.engine)

    assert number == 1
    assert seconds >= 3600
    assert gauges(books) == (0, 0)


def test_doctor_warns_of_an_update_that_does_not_end(books: SeededDatabase) -> None:
    with books.engine.connect() as connection:
        assert list(check_archives(connection)) == []
    begun(books, "11 minutes")

    with books.engine.connect() as connection:
        (found,) = check_archives(connection)

    assert (found.check, found.state) == ("archives", State.WARNING)
    assert f"{PARTY} is updated in steps since" in found.says
