from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from runtime.database.engine import engine_for
from runtime.inbox.entries import Lane, PeekedEvent
from runtime.time_limits import CONFLICTS_AGAIN_SECONDS
from workers.supervisor.conflicts import ConflictMover


@dataclass
class FakeConflictQueue:
    conflicting: list[str] = field(default_factory=lambda: ["evt_1#abcd"])
    open: bool = False
    asked: int = 0

    def breaker_open(self) -> bool:
        return self.open

    def conflicts(self) -> list[str]:
        self.asked += 1
        return self.conflicting

    def peek(self, keys: Sequence[str]) -> list[PeekedEvent]:
        return [peeked_event(key) for key in keys]

    def forget_conflicts(self, keys: Sequence[str]) -> int:
        self.conflicting = [key for key in self.conflicting if key not in keys]
        return len(keys)


def peeked_event(key: str) -> PeekedEvent:
    return PeekedEvent(
        key=key,
        state="conflict",
        lane=Lane.LIVE,
        received_at=None,
        due_at=None,
        header={"type": "customer.deleted"},
        history={},
        body=b"{}",
    )


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


def unreachable() -> Engine:
    return engine_for("postgresql://127.0.0.1:1/none", application_name="tests")


@pytest.mark.servers
def test_conflicts_become_dead_letters_and_then_leave_the_inbox(engine: Engine) -> None:
    inbox = FakeConflictQueue()

    ConflictMover(inbox, engine, lambda: True, lambda: 0.0).move()

    assert inbox.conflicting == []
    with engine.connect() as connection:
        query = sa.text("SELECT event_id, type, error_type, state FROM dead_letters")
        assert [tuple(row) for row in connection.execute(query)] == [
            ("evt_1#abcd", "customer.deleted", "identity_conflict", "open")
        ]


@pytest.mark.servers
def test_conflicts_stay_where_they_are_while_postgresql_is_away_and_are_tried_again_later() -> None:
    inbox, now = FakeConflictQueue(), [0.0]
    mover = ConflictMover(inbox, unreachable(), lambda: True, lambda: now[0])

    mover.move()
    mover.move()
    soon = inbox.asked
    now[0] = CONFLICTS_AGAIN_SECONDS
    mover.move()

    assert inbox.conflicting == ["evt_1#abcd"]
    assert (soon, inbox.asked) == (1, 2)


@pytest.mark.parametrize(("is_open", "leads"), [(True, True), (False, False)])
def test_nothing_is_moved_while_the_breaker_is_open_or_another_supervisor_leads(
    *, is_open: bool, leads: bool
) -> None:
    inbox = FakeConflictQueue(open=is_open)

    ConflictMover(inbox, unreachable(), lambda: leads, lambda: 0.0).move()

    assert inbox.asked == 0
