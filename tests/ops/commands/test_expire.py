import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers


@pytest.fixture
def ended(books: SeededDatabase, deployed: Callable[..., None]) -> SeededDatabase:
    """A paid subscription whose cancellation date has come without another event."""
    deployed(DATABASE_URL=books.url)
    books.tell("first_paid")
    with books.engine.begin() as connection:
        connection.execute(text("UPDATE parties SET due_at = now()"))
        connection.execute(
            text(
                "UPDATE facts SET fact = jsonb_set(fact, '{fields,cancel_at}',"
                " to_jsonb(CAST(:now AS text))) WHERE kind = 'subscription'"
            ),
            {"now": datetime.now(UTC).isoformat()},
        )
    return books


def active(books: SeededDatabase) -> int:
    query = text("SELECT count(*) FROM user_entitlements WHERE active")
    with books.engine.connect() as connection:
        return int(connection.scalar(query) or 0)


def test_what_ended_by_time_is_cleared_and_a_second_run_finds_nothing(
    ended: SeededDatabase, paidup: Paidup
) -> None:
    before = active(ended)

    first = json.loads(paidup("expire", "--json"))
    second = json.loads(paidup("expire", "--json"))

    assert (before, active(ended)) == (1, 0)
    assert (first, second) == ({"projected": 1}, {"projected": 0})


def test_people_read_how_many_and_a_timer_reads_nothing(
    ended: SeededDatabase, paidup: Paidup
) -> None:
    assert paidup("expire") == "1 party recomputed\n"
    assert paidup("expire") == ""
