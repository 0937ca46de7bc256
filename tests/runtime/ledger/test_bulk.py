from typing import Any

import pytest
from sqlalchemy import Engine, text

from models.tables import AuditLog, Party
from runtime.ledger.bulk import delete_rows, insert_rows

pytestmark = pytest.mark.servers

ODD_WORDS = ["", "NULL", 'a "quoted" one', "back\\slash", "{brace}", "comma,comma", "ünï"]


def party(name: str, **given: Any) -> dict[str, Any]:
    lists = ("unknown_prices", "incomplete_summaries", "incomplete_items")
    words = (*lists, "missing_subscriptions", "undecided")
    values = {"party": name, "catalogue_version": 1, "due_at": None, "waiting": False}
    return values | dict.fromkeys(words, frozenset()) | given


def test_words_of_any_spelling_arrive_in_an_array_as_they_were_sent(empty_engine: Engine) -> None:
    with empty_engine.begin() as connection:
        rows = [party("p1", unknown_prices=ODD_WORDS), party("p2")]
        insert_rows(connection, Party, rows)
        found = connection.scalars(text("SELECT unknown_prices FROM parties ORDER BY party")).all()
    assert found == [ODD_WORDS, []]


def test_documents_and_nothing_at_all_travel_side_by_side(empty_engine: Engine) -> None:
    document = {"name": 'x "y" \\ \u00fc', "n": [1, 2.5, None, True]}
    entry = dict.fromkeys(("actor", "action", "origin", "target_type", "target_id"), "test")
    rows: list[dict[str, object]] = [
        {**entry, "outcome": "done", "user_id": None, "after": document},
        {**entry, "outcome": "done", "user_id": "u1", "after": None},
    ]
    with empty_engine.begin() as connection:
        insert_rows(connection, AuditLog, rows)
        query = text("SELECT user_id, after FROM audit_logs ORDER BY id")
        assert list(connection.execute(query)) == [(None, document), ("u1", None)]


def test_a_row_that_is_there_takes_the_new_values_or_stays(empty_engine: Engine) -> None:
    with empty_engine.begin() as connection:
        insert_rows(connection, Party, [party("p1"), party("p2")])
        insert_rows(connection, Party, [party("p1", waiting=True)], conflict="replace")
        kept = insert_rows(
            connection,
            Party,
            [party("p2", waiting=True), party("p3")],
            conflict="ignore",
            returning="party",
        )
        query = text("SELECT party, waiting FROM parties ORDER BY party")
        assert list(connection.execute(query)) == [("p1", True), ("p2", False), ("p3", False)]
    assert [row.party for row in kept] == ["p3"]


def test_deleting_what_is_not_there_is_no_mistake(empty_engine: Engine) -> None:
    with empty_engine.begin() as connection:
        insert_rows(connection, Party, [party("p1"), party("p2")])
        delete_rows(connection, Party, [("p1",), ("p9",)])
        assert connection.scalars(text("SELECT party FROM parties")).all() == ["p2"]
