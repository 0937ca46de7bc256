"""A connection to a server that cannot write is closed, and the next one finds the primary."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runtime.broker import WakePublisher, make_celery
from runtime.failures.classify import Infrastructure, classify
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.redis_connection import CannotWrite, Generation, cannot_write
from runtime.settings import Settings
from tests.redis_failover import (
    RedisPair,
    redis_pair,
    sentinel_url,
    three_sentinels,
    url_through,
)
from tests.relay import Relay
from tests.runtime.inbox.entry_builders import Client, event
from tests.workers.waiting import until


def _reply(text: str) -> redis.RedisError:
    error: redis.RedisError = BaseParser.parse_error(text)  # type: ignore[no-untyped-call]
    return error


@pytest.mark.parametrize(
    "text",
    [
        "READONLY You can't write against a read only replica. script: 2c, on @user_script:19.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "LOADING Redis is loading the dataset in memory",
        "CLUSTERDOWN The cluster is down",
        "MISCONF Errors writing to the AOF file: No space left on device",
        "NOREPLICAS Not enough good replicas to write.",
        "UNBLOCKED force unblock from blocking operation, instance state changed",
    ],
)
def test_a_reply_that_no_write_can_succeed_is_infrastructure(text: str) -> None:
    error = _reply(text)

    assert cannot_write(error)
    assert isinstance(classify(error), Infrastructure)
    assert isinstance(classify(CannotWrite(text)), Infrastructure)


@pytest.mark.parametrize("text", ["ERR syntax error", "NOSCRIPT No matching script", "OOM full"])
def test_other_replies_leave_the_connection_open(text: str) -> None:
    assert not cannot_write(_reply(text))


@pytest.fixture
def pair(servers_folder: Path, redis_binary: Path, tmp_path: Path) -> Iterator[RedisPair]:
    """Yield a primary and its replica."""
    with redis_pair(servers_folder / tmp_path.name, redis_binary) as pair:
        yield pair


@pytest.fixture
def relay(pair: RedisPair) -> Iterator[Relay]:
    """Yield the address that follows the primary."""
    with closing(Relay(pair.primary.port)) as relay:
        yield relay


@pytest.fixture
def client(relay: Relay) -> Iterator[Client]:
    """Connect by the relay."""
    client = make_redis(Settings.from_env({"REDIS_URL": url_through(relay)}), timeout=2.0)
    yield client
    client.close()


@pytest.mark.servers
def test_after_one_refused_write_every_connection_leads_to_the_new_primary(
    client: Client, pair: RedisPair, relay: Relay
) -> None:
    pool = client.connection_pool
    connections = [pool.get_connection() for _ in range(4)]
    for connection in connections:
        pool.release(connection)
    pair.fail_over()
    relay.point_at(pair.primary.port)

    with pytest.raises(CannotWrite, match="ReadOnlyError"):
        Inbox(client).accept(event(0))

    taken = [pool.get_connection() for _ in range(4)]
    assert set(map(id, taken)) == set(map(id, connections))
    for connection in taken:
        connection.send_command("ROLE")
        assert connection.read_response()[0] == b"master"
        pool.release(connection)
    assert Inbox(client).accept(event(0)).status == "accepted"


@pytest.mark.servers
def test_a_duplicate_is_not_answered_by_the_old_primary(
    client: Client, pair: RedisPair, relay: Relay
) -> None:
    inbox = Inbox(client)
    inbox.accept(event(0))
    pair.until_replica_follows()
    pair.fail_over()
    relay.point_at(pair.primary.port)

    with pytest.raises(CannotWrite):
        inbox.accept(event(0))
    assert inbox.accept(event(0)).status == "duplicate"


@pytest.mark.servers
def test_a_pipeline_leaves_the_old_primary_too(
    client: Client, pair: RedisPair, relay: Relay
) -> None:
    client.ping()
    pair.fail_over()
    relay.point_at(pair.primary.port)

    with pytest.raises(CannotWrite):
        client.pipeline().set("paidup:a", 1).set("paidup:b", 2).execute()
    assert client.pipeline().set("paidup:a", 1).execute() == [True]


@pytest.mark.servers
def test_clients_with_one_generation_leave_together(pair: RedisPair, relay: Relay) -> None:
    settings, generation = Settings.from_env({"REDIS_URL": url_through(relay)}), Generation()
    clients: list[Client] = [make_redis(settings, generation=generation) for _ in range(2)]
    for client in clients:
        client.ping()
    pair.fail_over()
    relay.point_at(pair.primary.port)

    generation.end()

    assert [client.execute_command("ROLE")[0] for client in clients] == [b"master"] * 2
    for client in clients:
        client.close()


@pytest.mark.servers
def test_a_wake_up_reaches_the_new_primary_after_one_failure(
    pair: RedisPair, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether the second one arrives is asked here, and not when.
    monkeypatch.setattr("runtime.broker.WAKE_QUIET_SECONDS", 0.0)
    celery = make_celery(
        Settings.from_env({"CELERY_BROKER_URL": url_through(relay)}), role="publisher"
    )
    wakes = WakePublisher(celery)
    assert wakes.publish("first")
    pair.until_replica_follows()
    pair.fail_over()
    relay.point_at(pair.primary.port)

    published = [wakes.publish(f"after {number}") for number in range(3)]

    assert published[-1], published
    client = pair.primary.client()
    assert client.llen("paidup:q:drain") == 1 + sum(published)
    client.close()
    celery.close()


@pytest.mark.servers
def test_a_sentinel_s_client_follows_a_promotion_and_never_reads_a_late_answer(
    pair: RedisPair, redis_binary: Path, servers_folder: Path, tmp_path: Path
) -> None:
    folder = servers_folder / f"{tmp_path.name}-s"
    with three_sentinels(folder, redis_binary, pair.primary) as sentinels:
        settings = Settings.from_env({"REDIS_URL": sentinel_url(sentinels)})
        client: Client = make_redis(settings, timeout=1.0)
        inbox = Inbox(client)
        assert inbox.accept(event(0)).status == "accepted"

        pair.primary.freeze()
        with pytest.raises(RedisTimeoutError):
            client.echo("late")
        pair.primary.thaw()
        assert client.echo("in time") == b"in time"

        with sentinels[0].client() as asked:
            asked.execute_command("SENTINEL", "FAILOVER", "paidup")
        new = pair.replica.port
        until(lambda: sentinels[1].primary() == new, seconds=60, why="it is promoted")
        # Until a sentinel demotes it, the old primary still takes writes from old connections.
        until(
            lambda: _accepts(inbox) and client.connection_pool.master_address[1] == new,
            seconds=60,
            why="the client follows",
        )
        client.close()


def _accepts(inbox: Inbox) -> bool:
    try:
        return inbox.accept(event(0)).status in {"accepted", "duplicate"}
    except RedisConnectionError:
        return False


@pytest.mark.servers
def test_the_service_of_sentinels_may_be_unknown(
    pair: RedisPair, redis_binary: Path, servers_folder: Path, tmp_path: Path
) -> None:
    folder = servers_folder / f"{tmp_path.name}-s"
    with three_sentinels(folder, redis_binary, pair.primary) as sentinels:
        url = sentinel_url(sentinels).replace("/paidup/", "/other/")
        client = make_redis(Settings.from_env({"REDIS_URL": url}))

        with pytest.raises(RedisConnectionError, match="No master found for 'other'"):
            client.ping()
        client.close()
