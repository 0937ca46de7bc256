"""Pages of changes from a real database."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from ops.console.changes import _PAGE, Changes
from ops.console.connections import hasty_engine
from runtime.changes.feed import read_newest
from runtime.changes.numbering import number_waiting
from runtime.settings import Settings
from tests.ops.console.console_client import description, validate
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.changes.change_builders import changed

pytestmark = pytest.mark.servers


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    settings = Settings.from_env({"DATABASE_URL": database})
    engine = hasty_engine(settings, application_name="test", pool_size=1)
    yield engine
    engine.dispose()


@pytest.fixture
def changes(engine: Engine) -> Changes:
    return Changes(engine)


def read(changes: Changes, cursor: int, limit: int = 500) -> Any:
    document = json.loads(changes.after(cursor, limit=limit).body)
    validate(document, description()["components"]["schemas"]["Changes"])
    return document


def test_before_the_first_change_there_is_nothing_after_0(
    changes: Changes, books: SeededDatabase
) -> None:
    with books.engine.connect() as connection:
        epoch = read_newest(connection).epoch
    nothing = {"changes": [], "cursor": 0, "more": False, "epoch": epoch}

    assert read(changes, 0) == nothing
    assert changes.after(0, limit=1).empty
    assert json.loads(changes.start().body) == nothing
    assert epoch


def test_changes_are_read_in_pages_without_a_gap(changes: Changes, books: SeededDatabase) -> None:
    changed(books.engine, "usr_1", "usr_2", "usr_3")
    number_waiting(books.engine)

    first, second = read(changes, 0, limit=2), read(changes, 2, limit=2)

    users = [[change["user_id"] for change in page["changes"]] for page in (first, second)]
    assert users == [["usr_1", "usr_2"], ["usr_3"]]
    assert [(page["cursor"], page["more"]) for page in (first, second)] == [(2, True), (3, False)]
    assert changes.start().cursor == 3


def test_a_cursor_ahead_is_seen_by_the_newest(changes: Changes, books: SeededDatabase) -> None:
    changed(books.engine, "usr_1")
    number_waiting(books.engine)

    page = changes.after(7, limit=10)

    assert (page.empty, page.cursor, page.newest.cursor) == (True, 7, 1)


def test_the_change_that_an_event_made_has_its_cause(
    changes: Changes, books: SeededDatabase
) -> None:
    lifecycle = books.tell("refund_full")
    number_waiting(books.engine)

    found = read(changes, 0)["changes"]

    assert [change["change"] for change in found] == ["granted", "revoked"]
    assert {change["event_id"] for change in found} <= {event.id for event in lifecycle.events}
    assert found[0]["before"] is None
    assert found[1]["after"]["active"] is False
    with books.engine.connect() as connection:
        [now] = connection.execute(text("SELECT version, epoch FROM entitlement_versions"))
    assert 1 <= found[0]["version"] < found[1]["version"] <= now.version
    assert {change["epoch"] for change in found} == {now.epoch}


def test_the_rows_before_and_after_a_change_have_the_same_columns(
    changes: Changes, books: SeededDatabase
) -> None:
    books.tell("refund_full")
    number_waiting(books.engine)

    [granted, revoked] = read(changes, 0)["changes"]

    assert revoked["before"] == granted["after"]
    assert revoked["before"].keys() == revoked["after"].keys()
    assert revoked["before"]["catalogue_version"] == 1


def test_no_table_is_walked_through(engine: Engine) -> None:
    with engine.connect() as connection:
        asked = {"after": 0, "limit": 10}
        plan = "\n".join(connection.exec_driver_sql("EXPLAIN " + _PAGE, asked).scalars())

    assert "Seq Scan" not in plan
    assert "numbered_changes_pkey" in plan
    assert "audit_logs_pkey" in plan
