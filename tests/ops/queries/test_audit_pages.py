from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, insert

from models.tables import AuditLog, StoredFact
from ops.queries import audit_pages
from ops.queries.audit import AuditFilter, audit_entries
from ops.queries.audit_pages import audit_page
from ops.queries.pages import PageRequest
from runtime.database.engine import engine_for

pytestmark = pytest.mark.servers

START = datetime(2026, 11, 1, tzinfo=UTC)
PARTY = "live:cus_1"


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


DRAWN = st.fixed_dictionaries(
    {
        "actor": st.sampled_from(("stripe", "clock", "cli:ada", "console:ada", "ada")),
        "action": st.sampled_from(
            ("entitlement.granted", "entitlement.revoked", "payment.received", "links.add")
        ),
        "target_type": st.sampled_from(("payment", "entitlement")),
        "target_id": st.sampled_from(("pi_1", "pi_2")),
        "user_id": st.sampled_from((None, "usr_1", "usr_2")),
        "event_id": st.sampled_from((None, "evt_1", "evt_2")),
    }
)
SECONDS = st.none() | st.integers(-1, 25).map(lambda hour: START + timedelta(hours=hour))
NONE = (None,) * 4
"""More of these than of others, so that entries are left to list."""

FILTERS = st.builds(
    AuditFilter,
    user=st.sampled_from((*NONE, "usr_1")),
    parties=st.sampled_from((*[frozenset[str]()] * 4, frozenset({PARTY}))),
    event=st.sampled_from((*NONE, "evt_1")),
    actor=st.sampled_from((*NONE, "ada", "stripe")),
    actions=st.sampled_from((*[()] * 4, ("entitlement",), ("links.add", "payment"), ("nothing",))),
    target_type=st.sampled_from((*NONE, "payment")),
    target=st.sampled_from((*NONE, "pi_1")),
    since=SECONDS,
    until=SECONDS,
)
FACT = {
    "event_id": "evt_1",
    "object_key": PARTY,
    "party": PARTY,
    "kind": "customer",
    "event_type": "customer.created",
    "created_at": START,
    "fact": {},
}


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    rows=st.lists(DRAWN, max_size=25),
    wanted=FILTERS,
    size=st.integers(1, 7),
    bound=st.integers(1, 9),
    few=st.sampled_from((0, 100)),
)
def test_the_pages_are_the_entries_that_match_newest_first(  # noqa: PLR0917
    engine: Engine,
    rows: Sequence[dict[str, Any]],
    wanted: AuditFilter,
    size: int,
    bound: int,
    few: int,
) -> None:
    """Every second entry is of the same moment as the one before it."""
    entries = [
        {"outcome": "done", "origin": "test", "occurred_at": START + timedelta(hours=n // 2)} | each
        for n, each in enumerate(rows)
    ]
    with pytest.MonkeyPatch.context() as patch, engine.connect() as connection:
        patch.setattr(audit_pages, "SEARCHED_AT_ONCE", bound)
        patch.setattr(audit_pages, "FEW", few)
        connection.execute(insert(StoredFact), [FACT])
        if entries:
            connection.execute(insert(AuditLog), entries)
        expected = [each.id for each in audit_entries(connection, wanted, limit=1000)]

        found: list[int] = []
        asked = PageRequest(limit=size)
        while True:
            page = audit_page(connection, wanted, asked)
            found += [each.id for each in page.rows]
            assert page.after is None or page.after != asked.after, "a page leads to itself"
            connection.execute(insert(AuditLog), [_LATE])
            if page.after is None:
                break
            asked = PageRequest(after=page.after, limit=size)

        assert found == expected
        connection.rollback()


_LATE = {
    "actor": "ada",
    "action": "links.add",
    "outcome": "done",
    "origin": "test",
    "target_type": "payment",
    "target_id": "pi_1",
    "user_id": "usr_1",
    "event_id": "evt_1",
    "occurred_at": START + timedelta(hours=30),
}
