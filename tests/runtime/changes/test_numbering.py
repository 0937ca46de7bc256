"""Cursors follow COMMIT: a reader that remembers the highest one misses nothing, ever."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from sqlalchemy import Engine, text

from runtime.changes import numbering
from runtime.changes.feed import waiting_seconds
from runtime.changes.numbering import CHANNEL, Numbered, number
from runtime.database.engine import conninfo_of
from tests.runtime.changes.change_builders import change, changed, read, seen

pytestmark = pytest.mark.servers


def test_a_change_that_commits_late_comes_after_what_was_read_before_it(engine: Engine) -> None:
    """By the audit's own numbers it would stand before, where nobody looks again."""
    with engine.connect() as slow:
        change(slow, "usr_slow")
        changed(engine, "usr_quick")
        number(engine)
        before = seen(engine)
        slow.commit()
    number(engine)

    assert before == [(1, "usr_quick")]
    assert seen(engine) == [(1, "usr_quick"), (2, "usr_slow")]
    with engine.connect() as connection:
        by_audit = connection.scalars(text("SELECT user_id FROM audit_logs WHERE user_id <> ''"))
        assert list(by_audit) == ["usr_slow", "usr_quick"]


def test_no_other_transaction_holds_changes_up(engine: Engine) -> None:
    """A reader that waits until every older transaction is over would wait for this one."""
    with engine.connect() as long:
        long.execute(text("CREATE TABLE of_somebody_else ()"))
        changed(engine, "usr_1")

        number(engine)

        assert seen(engine) == [(1, "usr_1")]


def test_what_was_rolled_back_never_happened(engine: Engine) -> None:
    with engine.connect() as connection:
        change(connection, "usr_1")
        connection.rollback()

    assert number(engine) is None
    assert seen(engine) == []


def test_only_entitlements_are_told(engine: Engine) -> None:
    with engine.begin() as connection:
        for action in ("payment.received", "entitlements.seen", "entitlement.revoked"):
            change(connection, "usr_1", action=action)
    number(engine)

    assert [each.change for each in read(engine)] == ["revoked"]


def test_one_takes_the_turn_and_the_other_goes_on_with_his_day(engine: Engine) -> None:
    changed(engine, "usr_1")
    with engine.connect() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": numbering.LOCK})

        assert number(engine) is None

    assert number(engine) == Numbered(changes=1, cursor=1)
    assert number(engine) is None


def test_many_are_numbered_in_bounded_steps_without_gaps(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "MOST_AT_ONCE", 3)
    users = [f"usr_{number:02}" for number in range(8)]
    changed(engine, *users)

    steps = [number(engine) for _ in range(4)]

    assert [step and (step.changes, step.maybe_more) for step in steps] == [
        (3, True),
        (3, True),
        (2, False),
        None,
    ]
    assert seen(engine) == list(enumerate(users, start=1))


def test_it_is_known_how_long_the_oldest_has_been_waiting(engine: Engine) -> None:
    with engine.connect() as connection:
        assert waiting_seconds(connection) == 0
    changed(engine, "usr_1")

    with engine.connect() as connection:
        assert 0 < waiting_seconds(connection) < 60
    number(engine)
    with engine.connect() as connection:
        assert waiting_seconds(connection) == 0


@pytest.fixture
def listener(database: str) -> Iterator[psycopg.Connection]:
    with ExitStack() as stack:
        connection = psycopg.connect(conninfo_of(database), autocommit=True)
        stack.enter_context(connection)
        connection.execute(f"LISTEN {CHANNEL}")
        yield connection


def told(listener: psycopg.Connection) -> list[dict[str, int]]:
    """What arrived by now; everything sent before this question arrives before its answer."""
    listener.execute("SELECT 1")
    return [json.loads(each.payload) for each in listener.notifies(timeout=0)]


def test_listeners_hear_only_what_they_can_read_and_only_once(
    engine: Engine, listener: psycopg.Connection
) -> None:
    with engine.connect() as writer:
        change(writer, "usr_1")
        change(writer, "usr_2")
        number(engine)
        before_commit = told(listener)
        writer.commit()
    not_yet_numbered = told(listener)
    number(engine)

    assert before_commit == []
    assert not_yet_numbered == []
    assert told(listener) == [{"cursor": 2, "changes": 2}]
    assert [cursor for cursor, _ in seen(engine)] == [1, 2]


def test_a_numbering_that_is_rolled_back_says_nothing_and_is_done_again(
    engine: Engine, listener: psycopg.Connection
) -> None:
    changed(engine, "usr_1")
    with engine.connect() as connection:
        numbering._number(connection)
        connection.rollback()

    assert told(listener) == []
    assert number(engine) == Numbered(changes=1, cursor=1)
    assert told(listener) == [{"cursor": 1, "changes": 1}]
