"""Cursors follow COMMIT: a reader that remembers the highest one misses nothing, ever."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from runtime.changes import numbering
from runtime.changes.feed import read_newest, waiting_seconds
from runtime.changes.notification import CHANNEL
from runtime.changes.numbering import Numbered, number_batch, number_waiting
from runtime.data_loss.settlements import replace_epoch
from runtime.database.engine import conninfo_of
from runtime.ledger.record import Ledger
from tests.runtime.changes.change_builders import change, changed, read, visible_changes
from tests.runtime.ledger.delivery_builders import checkout, delivery, event, refunded
from tests.workers.waiting import until

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[3]


def test_a_change_that_commits_late_comes_after_what_was_read_before_it(engine: Engine) -> None:
    """By the audit's own numbers it would come before, where the reader does not look again."""
    with engine.connect() as slow:
        change(slow, "usr_slow")
        changed(engine, "usr_quick")
        number_batch(engine)
        before = visible_changes(engine)
        slow.commit()
    number_batch(engine)

    assert before == [(1, "usr_quick")]
    assert visible_changes(engine) == [(1, "usr_quick"), (2, "usr_slow")]
    with engine.connect() as connection:
        by_audit = connection.scalars(text("SELECT user_id FROM audit_logs WHERE user_id <> ''"))
        assert list(by_audit) == ["usr_slow", "usr_quick"]


def test_no_other_transaction_delays_changes(engine: Engine) -> None:
    """Keep a long transaction open, for which a design by transaction ids would wait."""
    with engine.connect() as long:
        long.execute(text("CREATE TABLE unrelated ()"))
        changed(engine, "usr_1")

        number_batch(engine)

        assert visible_changes(engine) == [(1, "usr_1")]


def test_a_change_that_was_rolled_back_gets_no_number(engine: Engine) -> None:
    with engine.connect() as connection:
        change(connection, "usr_1")
        connection.rollback()

    assert number_batch(engine) is None
    assert visible_changes(engine) == []


def test_only_changes_of_entitlements_are_numbered(engine: Engine) -> None:
    with engine.begin() as connection:
        for action in ("payment.received", "entitlements.seen", "entitlement.revoked"):
            change(connection, "usr_1", action=action)
    number_batch(engine)

    assert [each.change for each in read(engine)] == ["revoked"]


def test_only_one_process_numbers_at_a_time(engine: Engine) -> None:
    changed(engine, "usr_1")
    with engine.connect() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": numbering.LOCK})

        assert number_batch(engine) is None

    assert number_batch(engine) == Numbered(changes=1, cursor=1)
    assert number_batch(engine) is None


def test_many_are_numbered_in_bounded_steps_without_gaps(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "MAX_AT_ONCE", 3)
    users = [f"usr_{number:02}" for number in range(8)]
    changed(engine, *users)

    steps = [number_batch(engine) for _ in range(4)]

    assert [step and (step.changes, step.maybe_more) for step in steps] == [
        (3, True),
        (3, True),
        (2, False),
        None,
    ]
    assert visible_changes(engine) == list(enumerate(users, start=1))


def test_one_call_numbers_all_that_waits(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "MAX_AT_ONCE", 3)
    changed(engine, *(f"usr_{number}" for number in range(8)))

    number_waiting(engine)

    assert [cursor for cursor, _ in visible_changes(engine)] == list(range(1, 9))


def test_one_call_is_bounded_so_that_a_stop_does_not_wait(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "MAX_AT_ONCE", 1)
    monkeypatch.setattr(numbering, "MAX_BATCHES", 2)
    changed(engine, "usr_1", "usr_2", "usr_3")

    number_waiting(engine)

    assert len(visible_changes(engine)) == 2


def test_the_age_of_the_oldest_waiting_change_is_known(engine: Engine) -> None:
    with engine.connect() as connection:
        assert waiting_seconds(connection) == 0
    changed(engine, "usr_1")

    with engine.connect() as connection:
        assert 0 < waiting_seconds(connection) < 60
    number_batch(engine)
    with engine.connect() as connection:
        assert waiting_seconds(connection) == 0


@pytest.fixture
def listener(database: str) -> Iterator[psycopg.Connection]:
    with ExitStack() as stack:
        connection = psycopg.connect(conninfo_of(database), autocommit=True)
        stack.enter_context(connection)
        connection.execute(f"LISTEN {CHANNEL}")
        yield connection


def notified(listener: psycopg.Connection) -> list[dict[str, Any]]:
    """Return the payloads so far; all that was sent before the query arrives before its answer."""
    listener.execute("SELECT 1")
    return [json.loads(each.payload) for each in listener.notifies(timeout=0)]


def payload(engine: Engine, *, cursor: int, changes: int, **users: int) -> dict[str, Any]:
    with engine.connect() as connection:
        epoch = read_newest(connection).epoch
    return {"cursor": cursor, "changes": changes, "epoch": epoch, "users": users}


def test_listeners_hear_only_what_they_can_read_and_only_once(
    engine: Engine, listener: psycopg.Connection
) -> None:
    with engine.connect() as writer:
        change(writer, "usr_1")
        change(writer, "usr_2")
        number_batch(engine)
        before_commit = notified(listener)
        writer.commit()
    not_yet_numbered = notified(listener)
    number_batch(engine)

    assert before_commit == []
    assert not_yet_numbered == []
    assert notified(listener) == [payload(engine, cursor=2, changes=2)]
    assert [cursor for cursor, _ in visible_changes(engine)] == [1, 2]


def test_a_numbering_that_is_rolled_back_notifies_no_listener_and_is_repeated(
    engine: Engine, listener: psycopg.Connection
) -> None:
    changed(engine, "usr_1")
    with engine.connect() as connection:
        numbering._number(connection)
        connection.rollback()

    assert notified(listener) == []
    assert number_batch(engine) == Numbered(changes=1, cursor=1)
    assert notified(listener) == [payload(engine, cursor=1, changes=1)]


def test_listeners_hear_the_newest_version_of_each_user(
    engine: Engine, ledger: Ledger, listener: psycopg.Connection
) -> None:
    """Refund one of two purchases of one user, and tell of another user's in between."""
    stated = [checkout("cs_1"), checkout("cs_2"), checkout("cs_3", client_reference_id="usr_9")]
    refund = event("charge.refunded", refunded("pi_of_cs_1"))
    bodies = [event("checkout.session.completed", each) for each in stated]
    ledger.record([delivery(body) for body in (*bodies, refund)])
    number_batch(engine)

    heard = notified(listener)

    assert heard == [payload(engine, cursor=4, changes=4, usr_123=3, usr_9=1)]


def test_listeners_hear_of_another_epoch(engine: Engine, listener: psycopg.Connection) -> None:
    changed(engine, "usr_1")
    number_batch(engine)
    notified(listener)

    with engine.begin() as connection:
        epoch = replace_epoch(connection)

    assert notified(listener) == [{"cursor": 1, "changes": 0, "epoch": epoch, "users": {}}]


KILLED_WHILE_NUMBERING = """
import os, sys
from runtime.changes import numbering
from runtime.database.engine import engine_for
def die(*_, **__):
    os.kill(os.getpid(), 9)
{patch}
numbering.number_waiting(engine_for(sys.argv[1], application_name="dying"))
"""

PATCHES = {
    "before it numbers": "numbering._number = die",
    "before COMMIT of the numbers": "numbering.notify = die",
}


@pytest.mark.parametrize("moment", PATCHES)
def test_a_process_may_be_killed_at_any_moment(engine: Engine, database: str, moment: str) -> None:
    changed(engine, "usr_1", "usr_2")
    program = KILLED_WHILE_NUMBERING.format(patch=PATCHES[moment])
    killed = subprocess.run([sys.executable, "-c", program, database], cwd=ROOT, check=False)

    changed(engine, "usr_3")
    # The turn of a dead process is free once PostgreSQL finds its connection closed.
    until(lambda: number_batch(engine) is not None, why="the next process has its turn")

    assert killed.returncode == -signal.SIGKILL
    assert visible_changes(engine) == [(1, "usr_1"), (2, "usr_2"), (3, "usr_3")]
