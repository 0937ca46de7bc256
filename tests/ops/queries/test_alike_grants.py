"""Grants that are alike are read once, and give what all of them give."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import text

from billing.ids import EventId, PlanCode, Realm, UserId
from billing.projection.effective import AlikeGrants, effective_values, merge_alike
from billing.rows import EntitlementRow
from ops.queries import alike_grants
from ops.queries.alike_grants import load_alike_grants
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC).replace(microsecond=0)
SOON, LATER, LAST = (NOW + timedelta(days=days) for days in (1, 2, 3))


def grants(
    features: dict[str, Any], *seats: str, ends: Iterable[datetime | None], **given: Any
) -> list[EntitlementRow]:
    """Return grants of the same features, one with each of these ends."""
    return [
        EntitlementRow(
            realm=Realm("test"),
            user_id=UserId("usr_1"),
            source="",
            plan_code=PlanCode("plan"),
            entitlements=features,
            active=given.get("active", True),
            starts_at=NOW,
            expires_at=end,
            event_id=EventId("evt_1"),
            because="",
            per_seat=seats,
        )
        for end in ends
    ]


def store(books: SeededDatabase, rows: Iterable[EntitlementRow]) -> None:
    insert = text(
        "INSERT INTO user_entitlements (user_id, source, plan_code, realm, entitlements, per_seat,"
        " active, starts_at, expires_at, event_id, because, guessed, catalogue_version, party)"
        " VALUES (:user_id, :source, 'plan', 'test', CAST(:features AS jsonb), :seats, :active,"
        " :starts_at, :expires_at, 'evt_1', '', false, 1, 'test:cus_1')"
    )
    with books.engine.begin() as connection:
        for number, row in zip(count(), rows, strict=False):
            values = {
                "user_id": row.user_id,
                "source": f"sub_{number}",
                "features": json.dumps(dict(row.entitlements)),
                "seats": list(row.per_seat),
                "active": row.active,
                "starts_at": row.starts_at,
                "expires_at": row.expires_at,
            }
            connection.execute(insert, values)


def alike(books: SeededDatabase, at: datetime) -> tuple[AlikeGrants, ...]:
    with books.engine.connect() as connection:
        return load_alike_grants(connection, "usr_1", at)


MANY = [
    *grants({"n": 5, "on": True}, ends=[SOON, LATER, None]),
    *grants({"n": 7}, ends=[SOON, SOON]),
    *grants({"n": 7, "on": False}, ends=[LATER]),
    *grants({"seats": 2, "n": 1}, "seats", ends=[LATER, SOON, None, None]),
    *grants({"seats": 3}, "seats", ends=[None]),
    *grants({"seats": 3}, ends=[LAST]),
]


@pytest.mark.parametrize("at", [NOW, SOON, LATER, LAST])
def test_what_is_read_gives_what_all_grants_give_at_a_moment(
    books: SeededDatabase, at: datetime
) -> None:
    store(books, MANY)

    assert merge_alike(alike(books, at)) == effective_values(MANY, at)


def test_grants_of_the_same_features_are_read_as_one(books: SeededDatabase) -> None:
    store(books, MANY)

    found = alike(books, NOW)

    given = [(dict(each.entitlements), list(each.per_seat)) for each in found]
    assert len(given) == 6
    assert all(given.count(each) == 1 for each in given)


def test_seats_are_counted_and_end_with_the_first_of_them(books: SeededDatabase) -> None:
    store(books, grants({"seats": 2}, "seats", ends=[LATER, None, SOON]))

    (found,) = alike(books, NOW)

    assert (found.number, found.first_end, found.last_end) == (3, SOON, None)


def test_the_same_features_are_not_alike_if_the_numbers_of_one_add_up(
    books: SeededDatabase,
) -> None:
    store(books, [*grants({"n": 2}, "n", ends=[None]), *grants({"n": 2}, ends=[None])])

    assert sorted(list(each.per_seat) for each in alike(books, NOW)) == [[], ["n"]]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        grants({"n": 1}, ends=[NOW - timedelta(days=1), NOW]),
        grants({"n": 1}, ends=[None], active=False),
        [replace(row, user_id=UserId("usr_2")) for row in grants({"n": 1}, ends=[None])],
    ],
    ids=["none", "ended", "revoked", "another's"],
)
def test_what_is_not_in_force_for_the_user_is_not_read(
    books: SeededDatabase, rows: list[EntitlementRow]
) -> None:
    store(books, rows)

    assert alike(books, NOW) == ()


def test_every_step_uses_the_index(books: SeededDatabase) -> None:
    store(books, MANY)
    with books.engine.connect() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = text(f"EXPLAIN {alike_grants.ALIKE.text}")
        plan = "\n".join(connection.scalars(explain, {"user_id": "usr_1", "at": NOW}))

    assert plan.count("user_entitlements_given_idx") == 4
    assert "Sort" not in plan
    assert "user_entitlements_pkey" not in plan
