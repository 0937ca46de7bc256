"""A grant and its end say what the user may do before and after, beside everything else."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from ops.statements.access import UserAccess
from ops.statements.grants import EndRequest, GrantOperations, GrantRequest, GrantResult
from runtime.ledger.record import Ledger
from tests.ops.queries.seeded_database import SeededDatabase

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC).replace(microsecond=0)
SOON, LATER = NOW + timedelta(days=1), NOW + timedelta(days=2)
ASKED = GrantRequest(
    user_id="usr_1",
    plan_code=None,
    features={"max_devices": 7},
    starts_at=None,
    lasts=None,
    until=None,
    actor="cli:ada",
    reason="a pilot",
    new_user=True,
    new_feature=True,
)


class Granter:
    """States grants through a ledger."""

    def __init__(self, books: SeededDatabase) -> None:
        self.engine = books.engine
        self._ledger = Ledger(books.engine, livemode="any", accounts=frozenset())
        self._grants = GrantOperations(self._ledger, zone=ZoneInfo("UTC"), test_counts=True)

    def add(self, features: Mapping[str, Any], **given: Any) -> GrantResult:
        request = replace(ASKED, features=features, **given)
        return self._ledger.transact(
            lambda connection: self._grants.add(connection, request, key=None)
        ).result

    def end(self, grant: GrantResult) -> GrantResult:
        request = EndRequest(id=grant.grant, actor="cli:ada", reason="over")
        return self._ledger.transact(
            lambda connection: self._grants.end(connection, request, key=None)
        ).result


@pytest.fixture
def person(books: SeededDatabase) -> Granter:
    return Granter(books)


def says(access: UserAccess) -> dict[str, tuple[Any, datetime | None]]:
    return {name: (each.value, each.expires_at) for name, each in access.features.items()}


def test_before_shows_what_others_give_and_after_the_grant_beside_it(
    person: Granter,
) -> None:
    person.add({"max_devices": 3, "signals": True}, until=SOON)

    result = person.add({"max_devices": 7, "beta": True}, until=LATER)

    had = {"max_devices": (3, SOON), "signals": (True, SOON)}
    assert says(result.before) == had
    assert says(result.after) == {**had, "max_devices": (7, LATER), "beta": (True, LATER)}


def test_an_end_shows_what_the_grant_gave_and_what_others_still_give(
    person: Granter,
) -> None:
    kept = person.add({"max_devices": 3})
    more = person.add({"max_devices": 7, "beta": True}, until=SOON)

    result = person.end(more)

    assert says(result.before) == {"max_devices": (7, SOON), "beta": (True, SOON)}
    assert says(result.after) == {"max_devices": (3, None)}
    assert says(person.end(kept).after) == {}


def test_seats_add_up_with_those_of_grants_alike(person: Granter) -> None:
    none: Mapping[str, Any] = {}
    person.add(none, plan_code="team", until=LATER)
    person.add(none, plan_code="team", until=SOON)

    result = person.add(none, plan_code="team")

    (feature,) = _summed(person)
    one, _ = says(person.end(result).after)[feature]
    assert says(result.before)[feature] == (one, SOON)
    assert says(result.after)[feature] == (one // 2 * 3, SOON)


def _summed(person: Granter) -> list[str]:
    with person.engine.connect() as connection:
        query = text("SELECT DISTINCT unnest(per_seat) FROM user_entitlements")
        return list(connection.scalars(query))


def test_a_grant_that_begins_later_is_compared_with_what_is_left_at_its_start(
    person: Granter,
) -> None:
    person.add({"max_devices": 9}, until=SOON)
    person.add({"max_devices": 3}, until=LATER + timedelta(days=1))

    result = person.add({"max_devices": 7}, starts_at=LATER)

    assert result.then == LATER
    assert says(result.before) == {"max_devices": (3, LATER + timedelta(days=1))}
    assert says(result.after) == {"max_devices": (7, None)}


def test_the_end_of_a_grant_that_never_began_changes_nothing(person: Granter) -> None:
    person.add({"max_devices": 3})
    coming = person.add({"max_devices": 7}, starts_at=LATER)

    result = person.end(coming)

    assert says(result.before) == says(result.after) == {"max_devices": (3, None)}
