"""The view shows what a user may do now: booleans by or, numbers by maximum or sum."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from runtime.database.engine import engine_for

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC).replace(microsecond=0)
SOON, LATER, PAST = NOW + timedelta(days=1), NOW + timedelta(days=9), NOW - timedelta(days=1)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    engine = engine_for(database, application_name="test")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


class Grants:
    """Rows of one user, each with a source of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._count = 0

    def add(self, features: dict[str, Any], **given: Any) -> None:
        self._count += 1
        values: dict[str, Any] = {
            "source": f"sub_{self._count}",
            "starts_at": PAST,
            "expires_at": None,
            "active": True,
            "per_seat": [],
            "entitlements": json.dumps(features),
        }
        self._connection.execute(_INSERT, values | given)


_INSERT = text(
    "INSERT INTO user_entitlements (user_id, source, plan_code, realm, entitlements, per_seat,"
    " active, starts_at, expires_at, event_id, because, guessed, catalogue_version, party)"
    " VALUES ('usr_1', :source, 'plan', 'test', CAST(:entitlements AS jsonb),"
    " CAST(:per_seat AS text[]), :active, :starts_at, :expires_at, 'evt_1', 'because', false, 1,"
    " 'test:cus_1')"
)


@pytest.fixture
def grants(connection: Connection) -> Grants:
    return Grants(connection)


def effective(connection: Connection) -> dict[str, tuple[Any, datetime | None]]:
    query = text("SELECT feature, value, expires_at FROM effective_entitlements")
    return {feature: (value, until) for feature, value, until in connection.execute(query)}


def test_a_grant_that_renews_has_no_end(connection: Connection, grants: Grants) -> None:
    grants.add({"signals": True, "devices": 5})

    assert effective(connection) == {"signals": (True, None), "devices": (5, None)}


@pytest.mark.parametrize(
    "not_in_force",
    [{"active": False}, {"expires_at": PAST}],
    ids=["revoked", "expired"],
)
def test_rows_that_are_not_in_force_say_nothing(
    connection: Connection, grants: Grants, not_in_force: dict[str, Any]
) -> None:
    grants.add({"signals": True}, **not_in_force)

    assert effective(connection) == {}


def test_what_is_in_force_at_stripe_is_in_force_although_a_test_clock_is_ahead_of_ours(
    connection: Connection, grants: Grants
) -> None:
    grants.add({"signals": True}, starts_at=SOON)

    assert effective(connection) == {"signals": (True, None)}


def test_one_true_is_enough_and_lasts_as_long_as_the_last_true(
    connection: Connection, grants: Grants
) -> None:
    grants.add({"signals": True}, expires_at=SOON)
    grants.add({"signals": True}, expires_at=LATER)
    grants.add({"signals": False})

    assert effective(connection) == {"signals": (True, LATER)}


def test_the_largest_number_counts_until_the_last_row_that_has_it_ends(
    connection: Connection, grants: Grants
) -> None:
    grants.add({"devices": 5}, expires_at=SOON)
    grants.add({"devices": 5}, expires_at=LATER)
    grants.add({"devices": 3})

    assert effective(connection) == {"devices": (5, LATER)}


def test_numbers_are_not_compared_as_texts(connection: Connection, grants: Grants) -> None:
    grants.add({"devices": 9})
    grants.add({"devices": 10})

    assert effective(connection) == {"devices": (10, None)}


def test_seats_add_up_until_the_first_of_them_ends(connection: Connection, grants: Grants) -> None:
    grants.add({"devices": 5}, per_seat=["devices"], expires_at=SOON)
    grants.add({"devices": 10}, per_seat=["devices"])

    assert effective(connection) == {"devices": (15, SOON)}


def test_seats_and_a_plain_number_are_two_ways_to_reach_the_larger(
    connection: Connection, grants: Grants
) -> None:
    grants.add({"devices": 2}, per_seat=["devices"], expires_at=SOON)
    grants.add({"devices": 2}, per_seat=["devices"])
    grants.add({"devices": 4}, expires_at=LATER)

    assert effective(connection) == {"devices": (4, LATER)}


def test_reading_one_user_uses_an_index(connection: Connection, grants: Grants) -> None:
    grants.add({"devices": 2})
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    query = "EXPLAIN SELECT * FROM effective_entitlements WHERE user_id = 'usr_1'"
    plan = "\n".join(connection.scalars(text(query)))

    assert plan.count("Index Cond: (user_id = 'usr_1'::text)") == 2
    assert "CTE Scan" not in plan
