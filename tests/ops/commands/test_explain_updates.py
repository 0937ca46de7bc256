"""``paidup explain`` while a change has not reached all old payments of a customer."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from tests.ops.conftest import Paidup
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.ledger.moves_in_steps import (
    AFTER,
    BEFORE,
    CAUSE,
    PARTY,
    begin_move,
    end_move,
    every_past_is_long,
)

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def books(books: SeededDatabase, deployed: Callable[..., None]) -> SeededDatabase:
    """A customer whose move to another user has not reached the old payments."""
    deployed(DATABASE_URL=books.url)
    begin_move(books.engine)
    return books


def pending(paidup: Paidup, user: str) -> Any:
    return json.loads(paidup("explain", user, "--json"))["pending_updates"]


@pytest.mark.parametrize("user", [BEFORE, AFTER])
def test_both_users_of_a_move_are_told_by_what_it_came_and_how_much_is_left(
    books: SeededDatabase, paidup: Paidup, user: str
) -> None:
    query = "SELECT count(DISTINCT archive) FROM facts WHERE archive <> ''"
    with books.engine.connect() as connection:
        (left,) = connection.scalars(text(query))

    said = " ".join(paidup("explain", user).split())
    (update,) = pending(paidup, user)
    end_move(books.engine)

    assert said.startswith(f"{user} A change by {CAUSE} at ")
    assert f"has not reached all old payments of {PARTY} yet" in said
    assert f"{left} archives are left" in said
    assert (update["event_id"], update["archives_left"]) == (CAUSE, left)
    assert pending(paidup, user) == []
    assert "has not reached" not in paidup("explain", user)


def test_a_user_of_another_customer_is_told_nothing(books: SeededDatabase, paidup: Paidup) -> None:
    books.tell("onetime", user="usr_9")

    assert pending(paidup, "usr_9") == []


def test_the_person_who_changed_everything_is_named(books: SeededDatabase, paidup: Paidup) -> None:
    end_move(books.engine)

    with every_past_is_long():
        paidup("links", "add", "cus_1", BEFORE, "--reason", "back", "--as", "ada")

    assert "A change by cli:ada (op_" in " ".join(paidup("explain", BEFORE).split())
