import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ops.up.servers.redis_server import Redis

pytestmark = pytest.mark.servers


def test_it_is_as_durable_as_production_must_be(redis_server: Redis) -> None:
    config = redis_server.client().config_get("*")

    expected = {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "maxmemory-policy": "noeviction",
        "maxmemory": str(256 * 1024 * 1024),
        "save": "",
    }
    assert expected == {name: config[name] for name in expected}


def test_without_the_password_it_tells_nothing(redis_server: Redis) -> None:
    stranger = redis.Redis(port=redis_server.port, retry=Retry(NoBackoff(), 0))

    with pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_what_was_written_survives_a_kill_and_the_url_stays(own_redis: Redis) -> None:
    url = own_redis.url
    own_redis.client().set("kept", "yes")

    own_redis.kill()
    own_redis.start()

    assert url == own_redis.url
    assert own_redis.client().get("kept") == b"yes"


def test_a_frozen_server_answers_nothing_until_it_is_thawed(own_redis: Redis) -> None:
    own_redis.freeze()
    with pytest.raises(redis.TimeoutError):
        own_redis.client(timeout=0.2).ping()

    own_redis.thaw()

    assert own_redis.client().ping()


def test_a_frozen_server_can_be_stopped(own_redis: Redis) -> None:
    own_redis.freeze()

    own_redis.stop()

    assert not own_redis.is_alive()
