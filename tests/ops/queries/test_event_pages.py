from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, insert, text

from models.tables import StoredFact, StripeEvent
from ops.queries import event_pages
from ops.queries.event_pages import event_page
from ops.queries.events import EventFilter, SettledEvent
from ops.queries.pages import PageRequest, UnusableCursor
from runtime.database.engine import engine_for

pytestmark = pytest.mark.servers

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
SECONDS = st.none() | st.integers(0, 4).map(lambda second: START + timedelta(seconds=second))
FILTERS = st.builds(
    EventFilter,
    event=st.sampled_from((None, None, "evt_a", "evt_")),
    types=st.sampled_from(((), ("invoice.paid",), ("charge.refunded", "customer.created"))),
    outcome=st.sampled_from((None, "applied", "superseded", "ignored")),
    reason=st.sampled_from((None, None, "unknown_type")),
    since=SECONDS,
    until=SECONDS,
    user=st.sampled_from((None, "usr_1")),
    objects=st.sampled_from(((), ("pi_1",), ("in_1",), ("in_2",))),
)


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


def walk(
    connection: Connection,
    wanted: EventFilter,
    size: int,
    arriving: Sequence[dict[str, Any]] = (),
) -> tuple[list[SettledEvent], str | None]:
    """Return the events of all pages; one more event arrives after each page."""
    found: list[SettledEvent] = []
    asked, coming, number = PageRequest(limit=size), list(arriving), 1000
    back = None
    while True:
        page = event_page(connection, wanted, parties_of(wanted), asked)
        assert len(page.rows) <= size
        found += page.rows
        back = page.before if page.rows else back
        if coming:
            write(connection, [coming.pop()], number)
            number += 1
        if page.after is None:
            return found, back
        asked = PageRequest(after=page.after, limit=size)


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    rows=st.lists(DRAWN, max_size=25),
    arriving=st.lists(DRAWN, max_size=3),
    wanted=FILTERS,
    size=st.integers(1, 7),
    bound=st.integers(1, 9),
    few=st.sampled_from((0, 4, 100)),
)
def test_the_pages_are_the_events_that_match_while_others_arrive(
    engine: Engine,
    rows: list[dict[str, Any]],
    arriving: list[dict[str, Any]],
    wanted: EventFilter,
    size: int,
    bound: int,
    few: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch, engine.connect() as connection:
        patch.setattr(event_pages, "SEARCHED_AT_ONCE", bound)
        patch.setattr(event_pages, "_PROBED_AT_ONCE", bound)
        patch.setattr(event_pages, "FEW", few)
        write(connection, rows, 0)
        expected = matching(connection, wanted)

        found, _ = walk(connection, wanted, size, arriving)

        there = [each.id for each in found]
        assert len(there) == len(set(there))
        assert sorted(expected) == sorted(set(there) & set(expected))
        assert set(there) <= set(matching(connection, wanted))
        numbers = dict(connection.execute(text("SELECT id, settlement FROM stripe_events")).all())
        in_order = [(each.applied_at, numbers[each.id]) for each in found]
        by_number = [settlement for _, settlement in in_order]
        assert (
            by_number == sorted(by_number, reverse=True)
            or (wanted.since or wanted.until)
            and in_order == sorted(in_order, reverse=True)
        )
        connection.rollback()
