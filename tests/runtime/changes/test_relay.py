"""The stream gets every change, whatever dies, is full, is deleted or goes back in time."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from sqlalchemy import Engine, text

from runtime.changes import relay as relaying
from runtime.changes.feed import newest_cursor
from runtime.changes.relay import Relay
from runtime.changes.stream import ChangeStream
from runtime.schema import downgrade, upgrade
from tests.runtime.changes.change_builders import changed, read, seen, streamed

pytestmark = pytest.mark.servers

STREAM = "paidup:entitlement_changes"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def servers(database: str, redis_url: str) -> Sequence[str]:
    return database, redis_url


def test_the_stream_gets_what_the_view_shows_under_the_same_cursor(
    relay: Relay, engine: Engine, client: redis.Redis
) -> None:
    changed(engine, "usr_1", "usr_2")
    relay.round()
    changed(engine, "usr_3")
    relay.round()

    assert streamed(client) == seen(engine) == [(1, "usr_1"), (2, "usr_2"), (3, "usr_3")]
    entries: Any = client.xrange(STREAM, count=1)
    first = read(engine)[0]
    assert entries[0][1] == {
        b"cursor": b"1",
        b"user_id": b"usr_1",
        b"source": b"sub_1",
        b"plan_code": b"premium",
        b"change": b"granted",
        b"event_id": b"evt_1",
        b"occurred_at": first.occurred_at.isoformat().encode(),
    }


def test_two_relays_at_once_leave_every_change_once(
    relay: Relay, engine: Engine, stream: ChangeStream, client: redis.Redis
) -> None:
    changed(engine, "usr_1", "usr_2")
    relay.round()
    changed(engine, "usr_3")
    number_only = Relay(engine=engine, stream=ChangeStream(client, length=0), clock=lambda: 0.0)
    number_only._number()

    stream.add(read(engine))
    stream.add(read(engine, 1))

    assert streamed(client) == seen(engine)


def test_a_stream_that_was_deleted_is_written_again_from_the_database(
    relay: Relay, engine: Engine, client: redis.Redis
) -> None:
    changed(engine, "usr_1", "usr_2")
    relay.round()
    client.flushall()
    relay.round()

    assert streamed(client) == seen(engine)


def test_a_stream_begins_with_the_newest_that_it_keeps(
    engine: Engine, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "SENT_AT_ONCE", 2)
    changed(engine, *(f"usr_{number}" for number in range(8)))

    Relay(engine=engine, stream=ChangeStream(client, length=5), clock=lambda: 0.0).round()

    assert streamed(client) == [(cursor, f"usr_{cursor - 1}") for cursor in range(4, 9)]


def test_a_long_stream_is_cut_and_keeps_the_newest(engine: Engine, client: redis.Redis) -> None:
    relay = Relay(engine=engine, stream=ChangeStream(client, length=100), clock=lambda: 0.0)
    for _ in range(10):
        changed(engine, *["usr_1"] * 100)
        relay.round()

    kept = [cursor for cursor, _ in streamed(client)]

    assert 100 <= len(kept) <= 300
    assert kept == list(range(1001 - len(kept), 1001))


def test_length_0_switches_the_stream_off_and_numbers_all_the_same(
    relay: Relay, engine: Engine, client: redis.Redis
) -> None:
    changed(engine, "usr_1")
    relay.round()
    changed(engine, "usr_2")

    Relay(engine=engine, stream=ChangeStream(client, length=0), clock=lambda: 0.0).round()

    assert not client.exists(STREAM)
    assert seen(engine) == [(1, "usr_1"), (2, "usr_2")]


def test_a_redis_that_is_away_holds_nothing_up_and_gets_the_rest_later(
    relay: Relay, engine: Engine, client: redis.Redis
) -> None:
    nobody = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=1)
    without = Relay(engine=engine, stream=ChangeStream(nobody, length=10), clock=lambda: 0.0)
    changed(engine, "usr_1")
    with pytest.raises(redis.ConnectionError):
        without.round()
    numbered = seen(engine)
    relay.round()

    assert numbered == [(1, "usr_1")]
    assert streamed(client) == numbered


def test_after_a_failure_the_next_round_tries_again_though_nothing_is_new(
    engine: Engine, client: redis.Redis
) -> None:
    relay = Relay(engine=engine, stream=ChangeStream(client, length=10), clock=lambda: 0.0)
    relay.round()
    changed(engine, "usr_1")
    client.set(STREAM, "no stream")
    with pytest.raises(redis.ResponseError):
        relay.round()
    client.delete(STREAM)
    relay.round()

    assert streamed(client) == [(1, "usr_1")]


def test_an_error_that_is_no_repetition_is_not_swallowed(
    engine: Engine, relay: Relay, stream: ChangeStream, client: redis.Redis
) -> None:
    changed(engine, "usr_1")
    relay.round()
    client.delete(STREAM)
    client.set(STREAM, "no stream")

    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        stream.add(read(engine))


def test_a_full_redis_takes_all_of_a_batch_or_nothing(
    relay: Relay, engine: Engine, client: redis.Redis
) -> None:
    changed(engine, "usr_1", "usr_2")
    most = str(client.config_get("maxmemory")["maxmemory"])
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(redis.RedisError):
            relay.round()
    finally:
        client.config_set("maxmemory", most)
    empty = streamed(client)
    relay.round()

    assert empty == []
    assert streamed(client) == seen(engine)


def test_a_database_that_went_back_in_time_begins_a_new_stream_and_says_so(
    relay: Relay, engine: Engine, client: redis.Redis
) -> None:
    changed(engine, "usr_1", "usr_2")
    relay.round()
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE numbered_changes DISABLE TRIGGER append_only"))
        connection.execute(text("DELETE FROM numbered_changes WHERE cursor > 1"))
    with structlog.testing.capture_logs() as lines:
        relay.round()

    assert [(line["log_level"], line["streamed"]) for line in lines] == [("critical", 2)]
    assert streamed(client) == [(1, "usr_1")]


RELAY_THAT_DIES = """
import os, sys, time
import redis
from runtime.changes import numbering
from runtime.changes.relay import Relay
from runtime.changes.stream import ChangeStream
from runtime.database import engine_for
def die(*_):
    os.kill(os.getpid(), 9)
add = ChangeStream.add
{bent}
engine = engine_for(sys.argv[1], application_name="dying")
stream = ChangeStream(redis.Redis.from_url(sys.argv[2]), length=1000)
Relay(engine=engine, stream=stream, clock=time.monotonic).round()
"""

DIES = {
    "before it numbers": "numbering._number = die",
    "before COMMIT of the numbers": "numbering.json.dumps = die",
    "after COMMIT, before Redis": "ChangeStream.add = die",
    "after Redis": "ChangeStream.add = lambda *a: (add(*a), die())",
}


@pytest.mark.parametrize("moment", DIES)
def test_a_relay_may_be_killed_at_any_moment(
    relay: Relay, engine: Engine, client: redis.Redis, servers: Sequence[str], moment: str
) -> None:
    changed(engine, "usr_1", "usr_2")
    program = RELAY_THAT_DIES.format(bent=DIES[moment])
    died = subprocess.run([sys.executable, "-c", program, *servers], cwd=ROOT, check=False)

    changed(engine, "usr_3")
    relay.round()

    assert died.returncode == -signal.SIGKILL
    assert seen(engine) == [(1, "usr_1"), (2, "usr_2"), (3, "usr_3")]
    assert streamed(client) == seen(engine)


def test_what_happened_before_this_release_is_numbered_by_the_migration(engine: Engine) -> None:
    downgrade(engine, "0002")
    changed(engine, "usr_old", "usr_old_too")
    upgrade(engine)
    changed(engine, "usr_new")
    Relay(engine=engine, stream=ChangeStream(redis.Redis(), length=0), clock=lambda: 0.0)._number()

    assert seen(engine) == [(1, "usr_old"), (2, "usr_old_too"), (3, "usr_new")]
    with engine.connect() as connection:
        assert newest_cursor(connection) == 3
