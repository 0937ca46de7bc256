from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from ops.doctor.check_postgres import check_changes
from ops.doctor.findings import State
from runtime.changes.numbering import number_batch
from tests.ops.queries.seeded_database import SeededDatabase
from tests.runtime.changes.change_builders import changed

pytestmark = pytest.mark.servers


@pytest.fixture
def connection(books: SeededDatabase) -> Iterator[Connection]:
    with books.engine.connect() as connection:
        yield connection


def found(connection: Connection) -> list[tuple[State, str]]:
    return [(each.state, each.says) for each in check_changes(connection)]


def test_all_is_well_while_changes_are_numbered(
    books: SeededDatabase, connection: Connection
) -> None:
    changed(books.engine, "usr_1")
    number_batch(books.engine)

    assert found(connection) == [(State.OK, "readers see every change; the newest is 1")]


def test_a_change_without_a_number_is_reported_with_where_to_look(
    books: SeededDatabase, connection: Connection
) -> None:
    with books.engine.begin() as writer:
        writer.execute(
            text(
                "INSERT INTO audit_logs (occurred_at, actor, action, outcome, origin, target_type,"
                " target_id) VALUES (now() - interval '5 min', 'stripe', 'entitlement.granted',"
                " 'done', 'stripe', 'entitlement', 'sub_1/premium')"
            )
        )

    [(state, says)] = found(connection)

    assert state is State.WARNING
    assert "5 min old" in says
    assert "paidup worker" in says
