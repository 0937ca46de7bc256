from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, insert, select

from models.tables import DeadLetter, SearchTerm
from ops.queries import dead_letter_pages
from ops.queries.dead_letter_pages import letter_page
from ops.queries.events import EventFilter
from ops.queries.pages import PageRequest
from ops.queries.parties import OWN_REALMS
from runtime.database.engine import engine_for

pytestmark = pytest.mark.servers

START = datetime(2026, 11, 1, tzinfo=UTC)
BODY = (
    '{"id": "evt_1", "object": "event", "type": "invoice.paid", "created": 1, "livemode": true,'
    ' "data": {"object": {"customer": "%s"}}}'
)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


def letter(key: str, **given: Any) -> dict[str, Any]:
    at = given.pop("at", START)
    return {
        "event_id": key,
        "type": "invoice.paid",
        "payload": BODY % "cus_1",
        "error_type": "UnreadableEvent",
        "error": "it has no customer",
        "attempts": 1,
        "first_failed_at": at,
        "last_failed_at": at,
        "state": "open",
    } | given


def pages(
    connection: Connection, wanted: EventFilter, size: int, *states: str, arriving: int = 0
) -> list[str]:
    """Return the keys of all pages; a dead letter arrives after each of the first pages."""
    found: list[str] = []
    asked = PageRequest(limit=size)
    while True:
        page = letter_page(connection, wanted, asked, states=states, realms=OWN_REALMS)
        found += [each.event_id for each in page.rows]
        assert page.after is None or page.after != asked.after, "a page leads to itself"
        if arriving:
            late = letter(f"evt_late{arriving}", at=START + timedelta(days=1))
            connection.execute(insert(DeadLetter), [late])
            arriving -= 1
        if page.after is None:
            return found
        asked = PageRequest(after=page.after, limit=size)


DRAWN = st.fixed_dictionaries(
    {
        "type": st.sampled_from(("invoice.paid", None)),
        "error": st.sampled_from(
            ("it has no customer", "price_1 is unknown", "price_2 is unknown")
        ),
        "state": st.sampled_from(("open", "discarded", "replayed")),
        "at": st.integers(0, 2).map(lambda second: START + timedelta(seconds=second)),
    }
)
SECONDS = st.none() | st.integers(0, 3).map(lambda second: START + timedelta(seconds=second))


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    rows=st.lists(DRAWN, max_size=20),
    states=st.sampled_from((("open",), ("discarded", "replayed"), ("open", "replayed"))),
    wanted=st.builds(
        EventFilter,
        error=st.sampled_from((None, "PRICE")),
        types=st.sampled_from(((), ("invoice.paid",))),
        since=SECONDS,
        until=SECONDS,
    ),
    size=st.integers(1, 6),
    bound=st.integers(1, 5),
)
def test_the_pages_are_the_dead_letters_that_match_newest_failure_first(  # noqa: PLR0917
    engine: Engine,
    rows: Sequence[dict[str, Any]],
    states: tuple[str, ...],
    wanted: EventFilter,
    size: int,
    bound: int,
) -> None:
    letters = [letter(f"evt_{number}", **each) for number, each in enumerate(rows)]
    expected = [
        each
        for each in letters
        if each["state"] in states
        and (not wanted.error or "price" in each["error"])
        and (not wanted.types or each["type"] in wanted.types)
        and (wanted.since is None or each["last_failed_at"] >= wanted.since)
        and (wanted.until is None or each["last_failed_at"] < wanted.until)
    ]
    expected.sort(key=lambda each: (each["last_failed_at"], each["event_id"]), reverse=True)
    with pytest.MonkeyPatch.context() as patch, engine.connect() as connection:
        patch.setattr(dead_letter_pages, "_SEARCHED_AT_ONCE", bound)
        if letters:
            connection.execute(insert(DeadLetter), letters)

        found = pages(connection, wanted, size, *states, arriving=2)

        assert [key for key in found if "late" not in key] == [
            each["event_id"] for each in expected
        ]
        assert len(found) == len(set(found))
        connection.rollback()


def test_a_group_holds_the_letters_that_failed_alike(engine: Engine) -> None:
    with engine.begin() as connection:
        alike = [letter(f"evt_{n}", error=f"price_{n} is unknown\nmore {n}") for n in range(3)]
        others = [letter("evt_x", error="no price"), letter("evt_y", type="charge.refunded")]
        connection.execute(insert(DeadLetter), [*alike, *others])
        group = connection.scalar(select(DeadLetter.error_group).filter_by(event_id="evt_1"))

        found = pages(connection, EventFilter(error_group=group), 2, "open")

    assert found == ["evt_2", "evt_1", "evt_0"]


@pytest.mark.parametrize("few", [0, 500])
def test_only_letters_whose_payload_names_the_object_are_about_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    """Give another customer the same term: terms are in lower case."""
    monkeypatch.setattr(dead_letter_pages, "FEW", few)
    with engine.begin() as connection:
        mine, other = letter("evt_1"), letter("evt_2", payload=BODY % "cus_I")
        connection.execute(insert(DeadLetter), [mine, other, letter("evt_3", state="discarded")])
        terms = [("evt_1", "cus_1"), ("evt_2", "cus_1"), ("evt_3", "cus_1")]
        connection.execute(
            insert(SearchTerm),
            [{"term": term, "kind": "id", "object_key": k, "party": k} for k, term in terms],
        )

        for wanted in (EventFilter(objects=("cus_1",)), EventFilter(customer="cus_1")):
            assert pages(connection, wanted, 1, "open") == ["evt_1"]
