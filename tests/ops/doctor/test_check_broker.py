"""`doctor` asks a broker that is another server than the inbox."""

import socket

import pytest

from ops.doctor.check_broker import check_broker
from ops.doctor.findings import Finding, State
from ops.up.servers.redis_server import Redis
from runtime.settings import Settings

INBOX = "redis://127.0.0.1:1"


def found(broker_url: str) -> list[Finding]:
    environ = {"REDIS_URL": INBOX, "CELERY_BROKER_URL": broker_url}
    return list(check_broker(Settings.from_env(environ)))


def test_the_redis_of_the_inbox_is_not_asked_twice() -> None:
    assert found(INBOX) == []
    assert list(check_broker(Settings.from_env({}))) == []


@pytest.mark.servers
def test_a_broker_that_answers_is_in_order(redis_url: str) -> None:
    (finding,) = found(redis_url)

    assert (finding.check, finding.state) == ("broker", State.OK), finding.says


@pytest.mark.servers
def test_a_broker_that_is_away_is_named_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    (finding,) = found(f"redis://:hunter2@127.0.0.1:{port}")

    assert finding.state is State.PROBLEM
    assert "is unreachable" in finding.says
    assert str(port) in finding.says
    assert finding.says.endswith("start it, or correct CELERY_BROKER_URL")
    assert "hunter2" not in finding.says


@pytest.mark.servers
def test_a_broker_that_asks_for_another_password_is_named(own_redis: Redis) -> None:
    with own_redis.client() as client:
        client.config_set("requirepass", "other")

    (finding,) = found(own_redis.url)

    assert finding.state is State.PROBLEM
    assert "invalid username-password pair" in finding.says


@pytest.mark.servers
def test_a_frozen_broker_is_no_endless_check(own_redis: Redis) -> None:
    own_redis.freeze()

    (finding,) = found(own_redis.url)

    own_redis.thaw()
    assert finding.state is State.PROBLEM
