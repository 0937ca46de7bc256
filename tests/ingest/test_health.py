from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from redis.exceptions import ResponseError

from ingest.health import RedisHealth
from runtime.inbox.replicas import TooFewReplicas
from runtime.telemetry import SharedState
from tests.fakes import FakeClock


@dataclass(kw_only=True)
class FakeServer:
    """A Redis that answers INFO and counts the reads of its settings."""

    info_fields: dict[str, Any] = field(
        default_factory=lambda: {"run_id": "a", "used_memory": 10, "maxmemory": 100}
    )
    unsafe: tuple[str, ...] = ()
    broken: Exception | None = None
    settings_read: int = 0

    def info(self) -> dict[str, Any]:
        if self.broken:
            raise self.broken
        return self.info_fields

    def durability_problems(self) -> tuple[str, ...]:
        self.settings_read += 1
        return self.unsafe


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def health(server: FakeServer, clock: FakeClock) -> RedisHealth:
    return RedisHealth(
        info=server.info,
        durability_problems=server.durability_problems,
        shared_state=lambda: SharedState(backlog_events=3),
        monotonic=clock.monotonic,
    )


def test_a_safe_server_with_free_memory_has_no_problems(health: RedisHealth) -> None:
    assert health() == ()
    assert health.state == SharedState(backlog_events=3, redis_unsafe=0, refusals=0)


def test_settings_are_read_every_few_seconds_only(
    health: RedisHealth, server: FakeServer, clock: FakeClock
) -> None:
    for _ in range(10):
        health()
        clock.advance(1)

    assert server.settings_read == 2


def test_another_server_is_asked_for_its_settings_at_once(
    health: RedisHealth, server: FakeServer
) -> None:
    health()
    server.info_fields["run_id"] = "b"
    server.unsafe = ("appendonly is off",)

    assert health() == ("appendonly is off",)
    assert health.state.redis_unsafe == 1


def test_a_rewrite_that_failed_is_counted_and_refuses_nothing(
    health: RedisHealth, server: FakeServer
) -> None:
    server.info_fields["aof_last_bgrewrite_status"] = "err"

    assert health() == ()
    assert (health.state.redis_unsafe, health.state.refusals) == (1, 0)


def test_unsafe_settings_are_read_at_each_probe_so_that_a_fix_counts_at_once(
    health: RedisHealth, server: FakeServer
) -> None:
    server.unsafe = ("appendonly is off",)
    health()
    server.unsafe = ()

    assert health() == ()


@pytest.mark.parametrize(
    ("used", "most", "full"), [(80, 100, False), (81, 100, True), (9, 0, False)]
)
def test_it_is_full_above_four_fifths_of_its_memory(
    health: RedisHealth, server: FakeServer, used: int, most: int, *, full: bool
) -> None:
    server.info_fields |= {"used_memory": used, "maxmemory": most}

    assert bool(health()) is full


def test_the_shared_state_is_unknown_while_redis_cannot_be_asked(
    health: RedisHealth, server: FakeServer
) -> None:
    health()
    server.broken = TimeoutError()

    with pytest.raises(TimeoutError):
        health()

    assert health.state == SharedState(refusals=1)


def test_what_is_known_without_redis_is_reported_while_it_cannot_be_asked(
    server: FakeServer, clock: FakeClock
) -> None:
    known = SharedState(workers_needed=4)
    health = RedisHealth(
        info=server.info,
        durability_problems=server.durability_problems,
        shared_state=lambda: SharedState(backlog_events=3, workers_needed=4),
        last_known=lambda: known,
        monotonic=clock.monotonic,
    )
    health()
    server.broken = TimeoutError()

    with pytest.raises(TimeoutError):
        health()

    assert health.state == replace(known, refusals=1)


def test_a_replica_is_left_at_each_probe_and_named(server: FakeServer, clock: FakeClock) -> None:
    left: list[None] = []
    health = RedisHealth(
        info=server.info,
        durability_problems=server.durability_problems,
        shared_state=SharedState,
        monotonic=clock.monotonic,
        reconnect=lambda: left.append(None),
    )
    assert health() == ()
    server.info_fields["role"] = "slave"
    server.unsafe = ("Redis is a replica",)

    assert [health(), health()] == [("Redis is a replica",)] * 2
    assert health.state == SharedState(redis_unsafe=1, refusals=1)
    assert len(left) == 2

    server.info_fields["role"] = "master"
    server.unsafe = ()
    assert health() == ()
    assert len(left) == 2


def test_too_few_replicas_are_a_reason_and_are_counted(
    server: FakeServer, clock: FakeClock
) -> None:
    confirmed = 1

    def confirm() -> int:
        if confirmed < 2:
            raise TooFewReplicas(confirmed, 2)
        return confirmed

    health = RedisHealth(
        info=server.info,
        durability_problems=server.durability_problems,
        shared_state=SharedState,
        monotonic=clock.monotonic,
        confirm_replicas=confirm,
    )

    (reason,) = health()
    assert reason.startswith("Redis: 1 of 2 replicas have the last write")
    assert health.state.redis_replicas == 1

    confirmed = 2
    assert health() == ()
    assert health.state.redis_replicas == 2


def test_a_reason_that_explains_the_rest_comes_first(server: FakeServer, clock: FakeClock) -> None:
    def fail() -> SharedState:
        raise ResponseError("Script attempted to access a non local key in a cluster node")

    server.unsafe = ("Redis is in cluster mode",)
    health = RedisHealth(
        info=server.info,
        durability_problems=server.durability_problems,
        shared_state=fail,
        monotonic=clock.monotonic,
    )

    assert health()[0] == "Redis is in cluster mode"
    assert health.state == SharedState(redis_unsafe=1, refusals=2)
    server.unsafe = ()
    server.info_fields["rdb_last_bgsave_status"] = "err"
    assert health()[0].startswith("Redis could not save a snapshot")
    server.info_fields["rdb_last_bgsave_status"] = "ok"
    with pytest.raises(ResponseError):
        health()
