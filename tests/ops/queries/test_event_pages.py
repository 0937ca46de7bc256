from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, insert, text

from models.tables import StoredFact, StripeEvent
from ops.queries import event_pages
from ops.queries.event_pages import event_page
from ops.queries.events import EventFilter
from ops.queries.pages import PageRequest, UnusableCursor
from ops.queries.user_pages import user_page
from runtime.database.engine import engine_for

pytestmark = pytest.mark.servers

UNHURRIED = settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
START = datetime(2026, 11, 1, tzinfo=UTC)
PARTY = "live:cus_1"


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


def event_row(number: int, drawn: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"evt_{drawn['letter']}{number}",
        "type": drawn["type"],
        "outcome": drawn["outcome"],
        "reason": drawn["reason"],
        "applied_at": START + timedelta(seconds=drawn["second"]),
        "created_at": START,
        "received_at": START,
        "livemode": True,
        "attempts": 1,
        "payload": "{}",
        "payload_sha256": "0",
        "realm": "live",
        "fingerprint": "0",
        "origin": "stripe",
    }


def fact_row(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_id": event["id"],
        "object_key": "live:pi_1",
        "party": PARTY,
        "kind": "payment",
        "event_type": event["type"],
        "created_at": START,
        "fact": {"mentions": ["live:in_1"]},
    }


DRAWN = st.fixed_dictionaries(
    {
        "letter": st.sampled_from("ab"),
        "type": st.sampled_from(("invoice.paid", "charge.refunded", "customer.created")),
        "outcome": st.sampled_from(("applied", "superseded", "ignored")),
        "reason": st.sampled_from((None, "unknown_type")),
        "second": st.integers(0, 3),
        "stated": st.booleans(),
    }
)
SECONDS = st.integers(0, 4).map(lambda second: START + timedelta(seconds=second))
CONDITIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "event": st.sampled_from(("evt_a", "evt_")),
        "types": st.sampled_from((("invoice.paid",), ("charge.refunded", "customer.created"))),
        "outcome": st.sampled_from(("applied", "superseded", "ignored")),
        "reason": st.just("unknown_type"),
        "since": SECONDS,
        "until": SECONDS,
        "user": st.just("usr_1"),
        "objects": st.sampled_from((("pi_1",), ("in_1",), ("in_2",))),
    },
)
FILTERS = st.tuples(CONDITIONS, st.sets(st.integers(0, 7), max_size=3)).map(
    lambda drawn: EventFilter(
        **{name: drawn[0][name] for place, name in enumerate(drawn[0]) if place in drawn[1]}
    )
)
"""Filters of at most three conditions: more would leave hardly any event."""


def write(connection: Connection, rows: Sequence[dict[str, Any]], first: int) -> None:
    events = [event_row(first + number, each) for number, each in enumerate(rows)]
    if events:
        connection.execute(insert(StripeEvent), events)
    facts = [fact_row(row) for row, each in zip(events, rows, strict=True) if each["stated"]]
    if facts:
        connection.execute(insert(StoredFact), facts)


def matching(connection: Connection, wanted: EventFilter) -> list[str]:
    """Return the ids of all events that match, as the simplest query says."""
    stated = "id IN (SELECT event_id FROM facts)"
    conditions = ["TRUE"]
    conditions += [f"starts_with(id, '{wanted.event}')"] if wanted.event else []
    conditions += [f"type IN ({str([*wanted.types])[1:-1]})"] if wanted.types else []
    conditions += [f"outcome = '{wanted.outcome}'"] if wanted.outcome else []
    conditions += [f"reason = '{wanted.reason}'"] if wanted.reason else []
    conditions += [f"applied_at >= '{wanted.since}'"] if wanted.since else []
    conditions += [f"applied_at < '{wanted.until}'"] if wanted.until else []
    conditions += [stated] if wanted.user or wanted.objects else []
    conditions += ["FALSE"] if "in_2" in wanted.objects else []
    where = " AND ".join(conditions)
    query = f"SELECT id FROM stripe_events WHERE {where}"  # noqa: S608 - our own words
    return [*connection.scalars(text(query))]


def parties_of(wanted: EventFilter) -> dict[str, frozenset[str]]:
    names = [*(["user"] if wanted.user else []), *wanted.objects]
    return {name: frozenset({PARTY}) for name in names}


def orders(connection: Connection, ids: Sequence[str], wanted: EventFilter) -> list[list[str]]:
    """Return the orders in which these events may be listed under the filter."""
    rows = connection.execute(text("SELECT id, settlement, applied_at FROM stripe_events"))
    keys = {each.id: (each.settlement, each.applied_at) for each in rows}
    by_number = sorted(ids, key=lambda each: keys[each][0], reverse=True)
    by_time = sorted(ids, key=lambda each: keys[each][::-1], reverse=True)
    return [by_number, by_time] if wanted.since or wanted.until else [by_number]


def walk(
    connection: Connection,
    wanted: EventFilter,
    size: int,
    arriving: Sequence[dict[str, Any]] = (),
) -> list[str]:
    """Return the events of all pages; one more event arrives after each page."""
    found: list[str] = []
    asked, coming = PageRequest(limit=size), list(arriving)
    while True:
        page = event_page(connection, wanted, parties_of(wanted), asked)
        assert len(page.rows) <= size
        found += [each.id for each in page.rows]
        assert page.after is None or page.after != asked.after, "a page leads to itself"
        if coming:
            write(connection, [coming.pop()], 1000 + len(coming))
        if page.after is None:
            return found
        asked = PageRequest(after=page.after, limit=size)


def walk_back(connection: Connection, wanted: EventFilter, size: int) -> list[str]:
    """Return the events before the last one, page by page from there."""
    last = None
    page = event_page(connection, wanted, parties_of(wanted), PageRequest(limit=1))
    while page.after is not None:
        page = event_page(
            connection, wanted, parties_of(wanted), PageRequest(after=page.after, limit=1)
        )
        last = page.before or last
    found: list[str] = []
    while last is not None:
        asked = PageRequest(before=last, limit=size)
        page = event_page(connection, wanted, parties_of(wanted), asked)
        found = [*(each.id for each in page.rows), *found]
        last = page.before
    return found


BOUNDS = st.fixed_dictionaries(
    {
        "SEARCHED_AT_ONCE": st.integers(1, 9),
        "_PROBED_AT_ONCE": st.integers(1, 9),
        "FEW": st.sampled_from((0, 4, 100)),
    }
)


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, int]], None]:
    """Return a function that sets the bounds of the work for one page."""

    def set_bounds(drawn: dict[str, int]) -> None:
        for name, number in drawn.items():
            monkeypatch.setattr(event_pages, name, number)

    return set_bounds


@UNHURRIED
@given(
    rows=st.lists(DRAWN, max_size=25),
    arriving=st.lists(DRAWN, max_size=3),
    wanted=FILTERS,
    size=st.integers(1, 7),
    drawn=BOUNDS,
)
def test_the_pages_are_the_events_that_match_while_others_arrive(  # noqa: PLR0917
    engine: Engine,
    bounds: Callable[[dict[str, int]], None],
    rows: list[dict[str, Any]],
    arriving: list[dict[str, Any]],
    wanted: EventFilter,
    size: int,
    drawn: dict[str, int],
) -> None:
    bounds(drawn)
    with engine.connect() as connection:
        write(connection, rows, 0)
        expected = set(matching(connection, wanted))

        there = walk(connection, wanted, size, arriving)

        assert len(there) == len(set(there))
        assert expected <= set(there) <= set(matching(connection, wanted))
        assert there in orders(connection, there, wanted)
        connection.rollback()


@UNHURRIED
@given(rows=st.lists(DRAWN, max_size=25), wanted=FILTERS, size=st.integers(1, 7), drawn=BOUNDS)
def test_the_pages_before_one_lead_back_to_the_first_event(  # noqa: PLR0917
    engine: Engine,
    bounds: Callable[[dict[str, int]], None],
    rows: list[dict[str, Any]],
    wanted: EventFilter,
    size: int,
    drawn: dict[str, int],
) -> None:
    bounds(drawn)
    with engine.connect() as connection:
        write(connection, rows, 0)
        there = walk(connection, wanted, size)

        assert walk_back(connection, wanted, size) == there[: len(there) - len(there[-1:])]
        connection.rollback()


def test_a_cursor_of_another_list_is_refused(engine: Engine) -> None:
    with engine.connect() as connection:
        for cursor in ("", "x", "W10", "WyJ4Il0", "WzFlMzBd", "bnVsbA", "\0", "WzFd" * 99):
            with pytest.raises(UnusableCursor):
                event_page(connection, EventFilter(), {}, PageRequest(after=cursor))


def test_a_cursor_that_holds_no_text_is_refused(engine: Engine) -> None:
    """Ask for users: their cursor is a text, and half of a surrogate pair is none."""
    with engine.connect() as connection:
        for wrapped in (b'["\\ud800"]', b'["\\u0000"]', b"[" * 2000):
            cursor = urlsafe_b64encode(wrapped).decode().rstrip("=")
            with pytest.raises(UnusableCursor):
                user_page(connection, PageRequest(after=cursor))
