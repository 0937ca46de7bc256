"""Grants merged in Python equal those that the view merges."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from billing.ids import EventId, PlanCode, Realm, UserId
from billing.projection.effective import EffectiveValue, effective_values, merge_grants
from billing.rows import EntitlementRow
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def grant(number: int, features: dict[str, Any], *seats: str, **given: Any) -> EntitlementRow:
    values: dict[str, Any] = {"active": True, "starts_at": NOW - HOUR, "expires_at": None}
    return EntitlementRow(
        realm=Realm("test"),
        user_id=UserId("usr_1"),
        source=f"sub_{number}",
        plan_code=PlanCode("plan"),
        entitlements=features,
        event_id=EventId("evt_1"),
        because="",
        per_seat=seats,
        **(values | given),
    )


@pytest.mark.parametrize(
    "grants",
    [
        [],
        [({"a": True, "n": 5}, ()), ({"a": False, "n": 7}, ())],
        [({"n": 5}, ("n",)), ({"n": 7}, ("n",))],
        [({"n": 5}, ("n",)), ({"n": 7}, ("n",)), ({"n": 20}, ())],
        [({"n": 5}, ("n",)), ({"n": 7}, ()), ({"n": 1}, ("n",))],
        [({"n": True}, ("n",)), ({"n": 9}, ())],
        [({"n": False}, ()), ({"n": 9}, ("n",))],
    ],
)
def test_grants_merge_as_in_the_view(
    books: SeededDatabase, grants: list[tuple[dict[str, Any], tuple[str, ...]]]
) -> None:
    made = [grant(number, features, *seats) for number, (features, seats) in enumerate(grants)]
    made += [
        grant(90, {"off": 1}, active=False),
        grant(91, {"later": 1}, starts_at=NOW + HOUR),
        grant(92, {"over": 1}, expires_at=NOW - HOUR),
        grant(93, {"still": 1}, expires_at=NOW + HOUR),
    ]

    assert effective_values(made, datetime.now(UTC)) == view(books, made)


def test_the_value_that_holds_longest_is_the_one_that_counts(books: SeededDatabase) -> None:
    soon, late = NOW + HOUR, NOW + 2 * HOUR
    made = [
        grant(1, {"n": 5, "seats": 2, "open": 1}, "seats", expires_at=soon),
        grant(2, {"n": 5, "seats": 3, "open": 1}, "seats", expires_at=late),
        grant(3, {"n": 4, "open": 1}),
    ]

    found = effective_values(made, datetime.now(UTC))

    assert found == view(books, made)
    assert {name: each.expires_at for name, each in found.items()} == {
        "n": late,
        "open": None,
        "seats": soon,
    }
    assert merge_grants(made, datetime.now(UTC)) == {"n": 5, "open": 1, "seats": 5}


def view(books: SeededDatabase, grants: list[EntitlementRow]) -> dict[str, EffectiveValue]:
    insert = text(
        "INSERT INTO user_entitlements (user_id, source, plan_code, realm, entitlements, per_seat,"
        " active, starts_at, expires_at, event_id, because, guessed, catalogue_version, party)"
        " VALUES (:user_id, :source, 'plan', 'test', CAST(:features AS jsonb), :seats, :active,"
        " :starts_at, :expires_at, 'evt_1', '', false, 1, 'test:cus_1')"
    )
    query = text(
        "SELECT feature, value, expires_at FROM effective_entitlements WHERE user_id = 'usr_1'"
    )
    with books.engine.begin() as connection:
        for row in grants:
            features = json.dumps(dict(row.entitlements))
            times = {"starts_at": row.starts_at, "expires_at": row.expires_at}
            names = {"user_id": row.user_id, "source": row.source, "active": row.active}
            seats = list(row.per_seat)
            connection.execute(insert, {"features": features, "seats": seats, **names, **times})
        return {
            row.feature: EffectiveValue(value=row.value, expires_at=row.expires_at)
            for row in connection.execute(query)
        }
