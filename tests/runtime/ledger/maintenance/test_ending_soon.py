"""Access that ends within a week is announced once, as a change that changes no row."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy import event as listening

from runtime.changes.feed import changes_after
from runtime.changes.numbering import number_batch
from runtime.ledger.maintenance.ending_soon import (
    LOCK,
    announce_ending_soon,
    count_ended,
    count_ending_soon,
)
from runtime.ledger.record import Ledger
from tests.runtime.ledger.delivery_builders import contents
from tests.runtime.ledger.test_statements import end, grant, record

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC)


def announced(engine: Engine) -> list[Any]:
    while number_batch(engine):
        pass
    with engine.connect() as connection:
        changes = changes_after(connection, 0, limit=100)
    return [(each.user_id, each.source) for each in changes if each.change == "ends_soon"]


def counts(engine: Engine) -> tuple[int, int]:
    with engine.connect() as connection:
        return count_ending_soon(connection), count_ended(connection)


def test_what_ends_within_a_week_is_announced_once(ledger: Ledger, engine: Engine) -> None:
    record(ledger, grant("grant_soon", "usr_1", until=NOW + timedelta(days=6)))
    record(ledger, grant("grant_late", "usr_2", until=NOW + timedelta(days=8)))
    record(ledger, grant("grant_ever", "usr_3"))
    rows = {"user_entitlements", "parties", "facts"}
    before = {name: contents(engine)[name] for name in rows}

    assert announce_ending_soon(engine, limit=10) == 1
    assert announce_ending_soon(engine, limit=10) == 0

    assert announced(engine) == [("usr_1", "grant_soon")]
    assert counts(engine) == (1, 0)
    assert {name: contents(engine)[name] for name in rows} == before


def test_an_end_that_moves_is_announced_again(ledger: Ledger, engine: Engine) -> None:
    record(ledger, grant(until=NOW + timedelta(days=6)))
    announce_ending_soon(engine, limit=10)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE user_entitlements SET expires_at = expires_at - '1 day'::interval")
        )

    assert announce_ending_soon(engine, limit=10) == 1
    assert len(announced(engine)) == 2


def test_access_that_moves_is_announced_to_its_new_user(ledger: Ledger, engine: Engine) -> None:
    record(ledger, grant(until=NOW + timedelta(days=6)))
    announce_ending_soon(engine, limit=10)
    with engine.begin() as connection:
        connection.execute(text("UPDATE user_entitlements SET user_id = 'usr_2'"))

    assert announce_ending_soon(engine, limit=10) == 1
    assert announced(engine) == [("usr_1", "grant_1"), ("usr_2", "grant_1")]


def test_two_processes_never_announce_at_once(ledger: Ledger, engine: Engine) -> None:
    record(ledger, grant(until=NOW + timedelta(days=6)))
    with engine.begin() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        assert announce_ending_soon(engine, limit=10) == 0

    assert announce_ending_soon(engine, limit=10) == 1


def test_what_a_person_ended_is_not_announced(ledger: Ledger, engine: Engine) -> None:
    record(ledger, grant(until=NOW + timedelta(days=6)))
    record(ledger, end("grant_1"))

    assert announce_ending_soon(engine, limit=10) == 0
    assert counts(engine) == (0, 1)


def test_what_is_being_ended_is_not_announced_after_its_end(ledger: Ledger, engine: Engine) -> None:
    record(ledger, grant(until=NOW + timedelta(days=6)))
    with engine.begin() as connection:
        ledger.state(connection, [end("grant_1")])
        announce_ending_soon(engine, limit=10)

    assert announce_ending_soon(engine, limit=10) == 0
    assert announced(engine) == []


def test_many_are_announced_in_portions(ledger: Ledger, engine: Engine) -> None:
    each = [grant(f"grant_{n}", f"usr_{n}", until=NOW + timedelta(days=1)) for n in range(5)]
    record(ledger, *each)

    assert [announce_ending_soon(engine, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert len(announced(engine)) == 5


def test_each_end_is_looked_up_in_the_audit_by_key(ledger: Ledger, engine: Engine) -> None:
    """Also by a plan that is made while both tables are small, or before they are analyzed."""
    for number in range(20):
        record(ledger, grant(f"grant_{number}", until=NOW + timedelta(days=1)))
    plans: list[str] = []

    def explain(_: Any, cursor: Any, statement: str, given: Any, *__: Any) -> None:
        if statement.startswith("SELECT * FROM user_entitlements"):
            cursor.execute(f"EXPLAIN {statement}", given)
            plans.extend(line for (line,) in cursor.fetchall())

    listening.listen(engine, "before_cursor_execute", explain)
    announce_ending_soon(engine, limit=10)

    plan = "\n".join(plans)
    assert "Index" in plan
    assert "Seq Scan" not in plan
    assert "Join" not in plan
