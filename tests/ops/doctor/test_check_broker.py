"""`doctor` asks a broker that is another server than the inbox."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from ops.doctor.check_broker import check_broker
from ops.doctor.findings import Finding, State
from ops.up.servers.redis_server import Redis
from runtime.settings import Settings
from tests.rabbitmq import RabbitMq, rabbitmq

INBOX = "redis://127.0.0.1:1"


@pytest.fixture(scope="module")
def server(servers_folder: Path) -> Iterator[RabbitMq]:
    with rabbitmq(servers_folder / "rabbitmq-doctor") as server:
        yield server


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


def test_a_broker_that_was_never_tried_is_a_warning_and_is_not_asked() -> None:
    (finding,) = found("sqs://key:hunter2@")

    assert finding.state is State.WARNING
    assert finding.says.startswith("sqs:// was never tried with Paidup")


@pytest.mark.servers
def test_a_rabbitmq_that_takes_messages_is_in_order(server: RabbitMq) -> None:
    (finding,) = found(server.url)

    assert finding.state is State.OK, finding.says


@pytest.mark.servers
def test_a_queue_that_others_declared_with_other_properties_is_named(server: RabbitMq) -> None:
    with Connection(server.url) as connection:
        channel: Any = connection.default_channel
        channel.queue_delete("paidup.drain")
        channel.queue_declare("paidup.drain", durable=False, auto_delete=False)
        (finding,) = found(server.url)
        channel.queue_delete("paidup.drain")

    assert finding.state is State.PROBLEM
    assert "'paidup.drain'" in finding.says
    assert "rabbitmqctl delete_queue" in finding.says


@pytest.mark.servers
@pytest.mark.parametrize(
    ("login", "database", "says"),
    [("guest:hunter2", "/", "Login was refused"), ("guest:guest", "absent", "absent")],
)
def test_a_rabbitmq_that_refuses_its_user_is_named_without_the_password(
    server: RabbitMq, login: str, database: str, says: str
) -> None:
    (finding,) = found(f"amqp://{login}@127.0.0.1:{server.port}/{database}")

    assert finding.state is State.PROBLEM
    assert says in finding.says
    assert "hunter2" not in finding.says


@pytest.mark.servers
def test_doctor_says_which_rabbitmq_is_full_and_which_is_frozen(server: RabbitMq) -> None:
    server.block()
    (full,) = found(server.url)
    server.unblock()
    server.freeze()
    (frozen,) = found(server.url)
    server.thaw()

    assert full.state is frozen.state is State.PROBLEM
    assert "answers and takes no message" in full.says
    assert "rabbitmq-diagnostics alarms" in full.says
    assert "is unreachable" in frozen.says
