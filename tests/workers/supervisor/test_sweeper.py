# ruff: noqa: ARG002 - fakes take the same arguments as the real objects
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
from redis import Redis
from sqlalchemy.engine import Engine

from ops.up.servers.postgres_server import Postgres
from runtime.database.engine import engine_for
from runtime.inbox.entries import Lane, PeekedEvent, Sweep
from runtime.inbox.inbox import Inbox
from runtime.schema import upgrade
from workers.supervisor.database_probe import probe_database
from workers.supervisor.sweeper import MAX_WAKES, Sweeper, SweeperLease


@dataclass
class FakeSweepInbox:
    owed: tuple[str, ...] = ("a", "b", "c", "d")
    open: bool = False
    allowed: list[int] = field(default_factory=list)
    unregistered: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    conflicting: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    def sweep(self, *, most_wakes: int) -> Sweep:
        self.allowed.append(most_wakes)
        wakes = () if self.open else self.owed[:most_wakes]
        return Sweep(wakes=wakes, reclaimed=0, crashed=0, healed=0)

    def release_orphan(self, token: str) -> Sweep:
        self.released.append(token)
        return Sweep(wakes=("owed",), reclaimed=1, crashed=0, healed=0)

    def unregister(self, token: str) -> None:
        self.unregistered.append(token)

    def breaker_open(self) -> bool:
        return self.open

    def open_breaker(self, reason: str, seconds: float) -> None:
        self.reasons.append(reason)

    def close_breaker(self) -> None:
        self.open = False

    def conflicts(self) -> list[str]:
        return self.conflicting

    def peek(self, keys: Sequence[str]) -> list[PeekedEvent]:
        return [peeked_event(key) for key in keys]

    def forget_conflicts(self, keys: Sequence[str]) -> int:
        self.conflicting = [key for key in self.conflicting if key not in keys]
        return len(keys)


@dataclass
class FakeBroker:
    sent: list[str] = field(default_factory=list)

    def publish(self, token: str) -> bool:
        self.sent.append(token)
        return True


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


def unreachable() -> Engine:
    return engine_for("postgresql://127.0.0.1:1/none", application_name="tests")


def test_owed_wake_ups_are_published() -> None:
    inbox, broker = FakeSweepInbox(), FakeBroker()

    Sweeper(inbox, broker.publish, unreachable()).sweep()

    assert broker.sent == ["a", "b", "c", "d"]
    assert inbox.unregistered == []


def test_a_wake_up_the_broker_refuses_is_taken_back() -> None:
    inbox = FakeSweepInbox(owed=("a",))

    Sweeper(inbox, lambda _: False, unreachable()).sweep()

    assert inbox.unregistered == ["a"]


def test_events_of_a_dead_drainer_are_released_and_a_worker_is_woken() -> None:
    inbox, broker = FakeSweepInbox(), FakeBroker()

    Sweeper(inbox, broker.publish, unreachable()).release_orphan("orphan")

    assert (inbox.released, broker.sent) == (["orphan"], ["owed"])


@pytest.mark.servers
def test_while_postgresql_is_unreachable_the_breaker_stays_open_and_no_worker_is_woken() -> None:
    inbox, broker = FakeSweepInbox(open=True), FakeBroker()

    Sweeper(inbox, broker.publish, unreachable()).sweep()

    assert inbox.open
    assert len(inbox.reasons) == 1
    assert broker.sent == []


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = engine_for(database, application_name="tests")
    yield engine
    engine.dispose()


@pytest.mark.servers
def test_a_probe_that_succeeds_closes_the_breaker_and_few_workers_are_woken_at_first(
    engine: Engine,
) -> None:
    inbox = FakeSweepInbox(open=True)
    sweeper = Sweeper(inbox, lambda _: True, engine)

    for _ in range(4):
        sweeper.sweep()

    assert not inbox.open
    assert inbox.allowed == [1, 2, MAX_WAKES, MAX_WAKES]


@pytest.mark.servers
def test_a_probe_leaves_nothing_behind(engine: Engine) -> None:
    assert probe_database(engine) is None
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM memberships")) == 0


@pytest.mark.servers
def test_a_read_only_database_counts_as_down(engine: Engine, database: str) -> None:
    name = database.rsplit("/", 1)[1].partition("?")[0]
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    engine.dispose()

    failure = probe_database(engine)

    assert failure is not None
    assert "25006" in failure.error_type


@pytest.mark.servers
def test_a_database_without_our_tables_is_no_outage(own_postgres: Postgres) -> None:
    engine = engine_for(own_postgres.url, application_name="tests")

    assert probe_database(engine) is None

    upgrade(engine)
    engine.dispose()


@pytest.mark.servers
def test_one_supervisor_holds_the_lease_until_it_releases_it(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        first, second = SweeperLease(Inbox(client).lead), SweeperLease(Inbox(client).lead)

        assert first.hold()
        assert not second.hold()
        assert first.hold()
        first.release()
        assert second.hold()
        assert not first.hold()
        first.release()
        assert second.hold()


@pytest.mark.servers
def test_conflicts_become_dead_letters_and_then_leave_the_inbox(
    engine: Engine,
) -> None:
    inbox = FakeSweepInbox(conflicting=["evt_1#abcd"])

    Sweeper(inbox, lambda _: True, engine).sweep()

    assert inbox.conflicting == []
    with engine.connect() as connection:
        query = sa.text("SELECT event_id, type, error_type, state FROM dead_letters")
        assert [tuple(row) for row in connection.execute(query)] == [
            ("evt_1#abcd", "customer.deleted", "identity_conflict", "open")
        ]


@pytest.mark.servers
def test_second_bodies_stay_where_they_are_while_postgresql_is_away() -> None:
    inbox = FakeSweepInbox(conflicting=["evt_1#abcd"])
    sweeper = Sweeper(inbox, lambda _: True, unreachable())

    sweeper.sweep()

    assert inbox.conflicting == ["evt_1#abcd"]
    assert len(inbox.allowed) == 1
