import time
from collections.abc import Iterator

import pytest
from redis.exceptions import RedisError

from ops.up.servers.redis_server import Redis
from runtime.inbox.inbox import Inbox
from runtime.redis_client import make_redis
from runtime.settings import Settings, SettingsError
from tests.runtime.inbox.entry_builders import Client, event

pytestmark = pytest.mark.servers


@pytest.fixture
def client(own_redis: Redis) -> Iterator[Client]:
    client = make_redis(Settings.from_env({"REDIS_URL": own_redis.url}), timeout=0.5)
    yield client
    client.close()


@pytest.fixture
def inbox(client: Client) -> Inbox:
    return Inbox(client)


def _seconds_to_fail(inbox: Inbox) -> float:
    began = time.monotonic()
    with pytest.raises(RedisError):
        inbox.accept(event(1))
    return time.monotonic() - began


def test_without_a_url_the_missing_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="REDIS_URL"):
        make_redis(Settings.from_env({}))


@pytest.mark.parametrize("warm", [False, True])
def test_a_frozen_server_fails_a_call_in_time(
    inbox: Inbox,
    own_redis: Redis,
    warm: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    if warm:
        inbox.accept(event(0))
    own_redis.freeze()

    assert _seconds_to_fail(inbox) < 0.7

    own_redis.thaw()
    assert inbox.accept(event(2)).status == "accepted"


def test_an_unreachable_server_fails_a_call_at_once(inbox: Inbox, own_redis: Redis) -> None:
    inbox.accept(event(0))
    own_redis.stop()

    assert _seconds_to_fail(inbox) < 0.4


def test_a_server_that_came_back_is_used_without_an_error(inbox: Inbox, own_redis: Redis) -> None:
    inbox.accept(event(0))
    own_redis.kill()
    own_redis.start()

    assert inbox.accept(event(0)).status == "duplicate"
    assert inbox.backlog().events == 1


def test_more_threads_than_connections_get_an_error_instead_of_a_wait(own_redis: Redis) -> None:
    client = make_redis(Settings.from_env({"REDIS_URL": own_redis.url}), pool_size=1)
    taken = client.connection_pool.get_connection()

    assert _seconds_to_fail(Inbox(client)) < 0.1

    client.connection_pool.release(taken)
    client.close()
