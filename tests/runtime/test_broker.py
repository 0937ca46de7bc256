"""Wake-ups are bounded in time, pause after a failure, and carry no event."""

import json
import socket
import ssl
import threading
from typing import Any

import kombu.pools
import pytest
import redis
from celery import current_app

from ops.up.servers.redis_server import Redis
from runtime.broker import DRAIN_TASK, QUEUE, Role, make_celery
from runtime.redis_broker import KEY_PREFIX
from runtime.redis_connection import PrimaryConnection
from runtime.settings import Settings, SettingsError
from runtime.time_limits import BROKER_AGAIN_SECONDS, TASK_SECONDS
from tests.runtime.publishing import BOUND_SECONDS, celery_for, publisher, timed


def test_without_a_broker_the_missing_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="CELERY_BROKER_URL"):
        make_celery(Settings.from_env({}), role="worker")


def test_an_application_is_not_the_current_one() -> None:
    app = celery_for("redis://localhost/0")

    assert current_app.main != app.main


@pytest.mark.parametrize("role", ["publisher", "worker"])
def test_nothing_waits_in_worker_memory_and_no_result_is_kept(role: Role) -> None:
    conf = celery_for("redis://localhost/0", role).conf

    assert conf.task_ignore_result
    assert not conf.result_backend
    assert not conf.task_publish_retry
    assert conf.accept_content == ["json"]
    assert conf.broker_transport_options["visibility_timeout"] > 2 * TASK_SECONDS
    assert conf.broker_transport_options["global_keyprefix"] == KEY_PREFIX


def test_a_worker_takes_no_more_wake_ups_than_it_has_processes() -> None:
    conf = celery_for("redis://localhost/0", "worker").conf

    assert (conf.task_acks_late, conf.worker_prefetch_multiplier) == (True, 1)
    assert conf.task_time_limit == TASK_SECONDS
    assert conf.task_soft_time_limit is None


@pytest.mark.parametrize(
    ("given", "spelled"),
    [
        ("redis://:pw@host:7/2", "redis://:pw@host:7/2"),
        ("unix:///run/redis.sock?db=3", "redis+socket:///run/redis.sock?virtual_host=3"),
    ],
)
def test_the_broker_url_is_spelled_as_kombu_reads_it(given: str, spelled: str) -> None:
    assert celery_for(given).conf.broker_url == spelled


def test_sentinels_are_spelled_as_kombu_reads_them_even_if_celery_finds_the_url_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "redis+sentinel://:pw@one:1,two:2/service/3?sentinel_password=watch"
    monkeypatch.setenv("CELERY_BROKER_URL", url)

    for connection in (
        celery_for(url).connection_for_write(),
        celery_for(url).connection_for_read(),
    ):
        assert connection.alt == ["sentinel://:pw@one:1/3", "sentinel://:pw@two:2/3"]
        options = connection.transport_options or {}
        assert options["master_name"] == "service"
        assert options["sentinel_kwargs"]["password"] == "watch"


def test_tls_is_always_verified() -> None:
    assert celery_for("rediss://host/0").conf.broker_use_ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    sentinels = celery_for("rediss+sentinel://host/service").conf
    assert sentinels.broker_use_ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert celery_for("rediss://host/0?ssl_cert_reqs=none").conf.broker_use_ssl is None
    assert celery_for("redis://host/0").conf.broker_use_ssl is None


def test_the_pool_of_publishers_has_connections_that_leave_a_former_primary() -> None:
    app = celery_for("redis://127.0.0.1:1/0")
    pool: Any = app.pool
    with pool.acquire() as connection:
        assert connection.transport.Channel.connection_class is PrimaryConnection
    app.close()
    kombu.pools.reset()


class EnoughSeen(Exception):
    """Ends the retries of the test."""


def test_a_worker_asks_for_a_lost_broker_as_often_after_a_minute_as_at_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _: None)
    app = celery_for("redis://localhost/0", "worker")
    pauses: list[float] = []

    def refused(_: object) -> None:
        raise ConnectionRefusedError

    def note(_: Exception, pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 60:
            raise EnoughSeen

    connection = app.connection_for_read()
    monkeypatch.setattr(type(connection), "_establish_connection", refused)
    # As celery.worker.consumer calls it, at its start and after each loss of the broker.
    with pytest.raises(EnoughSeen):
        connection.ensure_connection(note, callback=lambda: None)

    assert set(pauses) == {BROKER_AGAIN_SECONDS}


@pytest.mark.servers
def test_a_wake_up_is_one_small_message_in_one_list(redis_url: str) -> None:
    with publisher(redis_url) as wakes:
        assert wakes.publish("abc")

    client = redis.Redis.from_url(redis_url)
    assert len(client.keys(f"{KEY_PREFIX}*")) == client.dbsize()
    (message,) = client.lrange(f"{KEY_PREFIX}{QUEUE}", 0, -1)
    assert json.loads(message)["headers"]["task"] == DRAIN_TASK
    assert len(message) < 1500
    client.close()


@pytest.mark.servers
def test_a_lost_binding_loses_no_wake_up(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    with publisher(redis_url) as wakes:
        wakes.publish("first")
        client.delete(*client.keys(f"{KEY_PREFIX}_kombu*"))
        wakes.publish("second")

    assert client.llen(f"{KEY_PREFIX}{QUEUE}") == 2
    client.close()


@pytest.mark.servers
def test_many_threads_share_one_publisher(redis_url: str) -> None:
    with publisher(redis_url) as wakes:
        said: list[bool] = []
        threads = [
            threading.Thread(target=lambda: said.append(wakes.publish("token"))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    client = redis.Redis.from_url(redis_url)
    assert client.llen(f"{KEY_PREFIX}{QUEUE}") == sum(said) > 0
    client.close()


@pytest.mark.servers
@pytest.mark.parametrize("warm", [False, True])
def test_a_frozen_broker_fails_in_time(
    own_redis: Redis,
    warm: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    with publisher(own_redis.url) as wakes:
        if warm:
            assert wakes.publish("first")
        own_redis.freeze()

        published, seconds = timed(wakes)

        assert not published
        assert seconds < BOUND_SECONDS
        own_redis.thaw()


@pytest.mark.servers
@pytest.mark.parametrize("warm", [False, True])
def test_an_unreachable_broker_fails_in_time(
    own_redis: Redis,
    warm: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    with publisher(own_redis.url) as wakes:
        if warm:
            assert wakes.publish("first")
        own_redis.stop()

        published, seconds = timed(wakes)

        assert not published
        assert seconds < BOUND_SECONDS


@pytest.mark.servers
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_silent_listener_fails_in_time(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/0"
        with publisher(url) as wakes:
            published, seconds = timed(wakes)

    assert not published
    assert seconds < BOUND_SECONDS


@pytest.mark.servers
def test_threads_do_not_queue_for_a_frozen_broker(own_redis: Redis) -> None:
    with publisher(own_redis.url) as wakes:
        own_redis.freeze()
        taken: list[tuple[bool, float]] = []
        threads = [threading.Thread(target=lambda: taken.append(timed(wakes))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        own_redis.thaw()

    assert len(taken) == 16
    assert not any(published for published, _ in taken)
    assert max(seconds for _, seconds in taken) < BOUND_SECONDS


@pytest.mark.servers
def test_after_a_failure_it_pauses_and_then_publishes_again(
    own_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with publisher(own_redis.url) as wakes:
        own_redis.freeze()
        assert not wakes.publish("first")
        own_redis.thaw()

        published, seconds = timed(wakes)
        assert not published
        assert seconds < 0.01

        monkeypatch.setattr(wakes, "_quiet_until", 0.0)
        assert wakes.publish("second")


@pytest.mark.servers
def test_a_broker_that_came_back_is_used_at_once(
    own_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with publisher(own_redis.url) as wakes:
        assert wakes.publish("first")
        own_redis.kill()
        assert not wakes.publish("second")
        own_redis.start()

        monkeypatch.setattr(wakes, "_quiet_until", 0.0)
        assert wakes.publish("third")


@pytest.mark.servers
def test_a_full_broker_is_no_error_of_the_caller(own_redis: Redis) -> None:
    client = own_redis.client()
    client.config_set("maxmemory", "1")
    client.close()

    with publisher(own_redis.url) as wakes:
        assert not wakes.publish("token")
