"""Wake-ups over RabbitMQ end in time, whatever the server does, and leave nothing behind."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import kombu.pools
import pytest

from ops.up.servers.ports import free_port
from runtime.broker import (
    FETCH_QUEUE,
    QUEUE,
    Role,
    WakePublisher,
    fetch_wake_publisher,
)
from runtime.rabbitmq_broker import WakeConnection, queue_name
from runtime.time_limits import BROKER_HEALTH_SECONDS
from tests.rabbitmq import RabbitMq, rabbitmq
from tests.relay import Relay
from tests.runtime.publishing import BOUND_SECONDS, celery_for, publisher, timed

TLS = """\
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
"""


@contextmanager
def _connected(server: RabbitMq) -> Iterator[Any]:
    """Yield a channel with a worker's bounds."""
    with closing(celery_for(server.url, "worker")) as app, app.connection_for_write() as connection:
        yield connection.default_channel


@contextmanager
def _as_worker(server: RabbitMq) -> Iterator[None]:
    """Declare the queues as a worker does, and empty them."""
    with _connected(server) as channel:
        for queue in celery_for(server.url, "worker").amqp.queues.values():
            queue(channel).declare()
            channel.queue_purge(queue.name)
        yield


def _timed(wakes: WakePublisher) -> tuple[bool, float]:
    wakes._quiet_until = 0.0
    return timed(wakes)


@pytest.mark.parametrize(
    ("given", "address", "options"),
    [
        ("amqp://u:p@host:5672/paidup", "amqp://u:p@host:5672/paidup", None),
        ("amqps://host//", "amqps://host//", {}),
        ("amqps://host//?ssl_ca_certs=%2Fca.pem", "amqps://host//", {"ca_certs": "/ca.pem"}),
    ],
)
def test_tls_is_always_verified_and_its_files_are_named_as_for_redis(
    given: str, address: str, options: dict[str, str] | None
) -> None:
    conf = celery_for(given).conf

    verified = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
    assert conf.broker_url == address
    assert conf.broker_use_ssl == (None if options is None else verified | options)


def test_a_frozen_server_is_noticed_by_workers_and_watched_by_no_publisher() -> None:
    assert celery_for("amqp://host//", "worker").conf.broker_heartbeat == BROKER_HEALTH_SECONDS
    assert celery_for("amqp://host//").connection_for_write().heartbeat is None


@pytest.mark.parametrize("role", ["publisher", "worker"])
def test_no_option_of_the_transport_for_redis_is_passed_on(role: Role) -> None:
    options = celery_for("amqp://host//", role).conf.broker_transport_options

    assert not {"global_keyprefix", "visibility_timeout", "socket_timeout"} & set(options)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a self-signed certificate of loopback; its key lies beside it."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem"


@pytest.fixture(scope="module")
def tls_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def started(servers_folder: Path, certificate: Path, tls_port: int) -> Iterator[RabbitMq]:
    key = certificate.with_name("key.pem")
    more = TLS.format(port=tls_port, certificate=certificate, key=key)
    with rabbitmq(servers_folder / "rabbitmq", more=more) as server:
        yield server


@pytest.fixture
def server(started: RabbitMq) -> Iterator[RabbitMq]:
    """Yield the server, with the queues of workers and no message."""
    with _as_worker(started):
        pass
    yield started
    started.thaw()


@pytest.mark.servers
def test_a_wake_up_waits_on_no_disk_and_is_dropped_when_nobody_takes_it(server: RabbitMq) -> None:
    with publisher(server.url) as wakes:
        assert wakes.publish("abc")

    with _connected(server) as channel:
        message = channel.basic_get(queue_name(QUEUE))
    assert message.properties["delivery_mode"] == 1
    assert message.properties["expiration"] == "10000"
    assert len(message.body) < 1500


@pytest.mark.servers
def test_each_pool_has_a_queue_of_paidups_name_that_survives_a_restart(server: RabbitMq) -> None:
    app = celery_for(server.url)
    assert WakePublisher(app).publish("drain")
    assert fetch_wake_publisher(app)("fetch")
    app.close()
    kombu.pools.reset()

    listed = server.control("list_queues", "name", "durable", "type", "messages", "-s")
    assert sorted(listed.split("\n")[:2]) == [
        f"{queue_name(name)}\ttrue\tclassic\t1" for name in (QUEUE, FETCH_QUEUE)
    ]


@pytest.mark.servers
@pytest.mark.parametrize("warm", [False, True])
def test_a_frozen_rabbitmq_fails_in_time_and_is_used_again_when_it_thaws(
    server: RabbitMq,
    warm: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    with publisher(server.url) as wakes:
        assert not warm or wakes.publish("first")
        server.freeze()
        published, seconds = _timed(wakes)
        server.thaw()

        assert not published
        assert seconds < BOUND_SECONDS
        assert _timed(wakes)[0]


@pytest.mark.servers
def test_a_full_rabbitmq_fails_in_time_and_its_late_answer_confirms_nothing_else(
    server: RabbitMq,
) -> None:
    with publisher(server.url) as wakes:
        assert wakes.publish("first")
        server.block()
        published, seconds = _timed(wakes)
        server.unblock()
        assert server.queue_lengths(), "by now it has answered what it had not read"
        server.freeze()
        published_later, _ = _timed(wakes)
        server.thaw()

        assert not published
        assert seconds < BOUND_SECONDS
        assert not published_later
        assert _timed(wakes)[0]


@pytest.mark.servers
def test_a_network_that_swallows_everything_fails_in_time(server: RabbitMq) -> None:
    with closing(Relay(server.port)) as relay:
        url = server.url.replace(str(server.port), str(relay.port))
        with publisher(url) as wakes:
            assert wakes.publish("first")
            relay.cut()
            published, seconds = _timed(wakes)
            relay.mend()

            assert not published
            assert seconds < BOUND_SECONDS
            assert _timed(wakes)[0]


@pytest.mark.servers
def test_a_publisher_declares_nothing_and_what_it_sends_before_a_worker_has_is_dropped(
    server: RabbitMq,
) -> None:
    with _connected(server) as channel:
        channel.queue_delete(queue_name(QUEUE))
    with publisher(server.url) as wakes:
        assert wakes.publish("for no worker")
        assert queue_name(QUEUE) not in server.queue_lengths()
        with _as_worker(server):
            assert wakes.publish("for a worker")

    assert server.queue_lengths()[queue_name(QUEUE)] == 1


@pytest.mark.servers
def test_a_publisher_needs_no_right_but_to_write_to_the_default_exchange(server: RabbitMq) -> None:
    server.control("add_user", "ingest", "secret")
    server.control("set_permissions", "-p", "/", "ingest", "^$", r"^amq\.default$", "^$")
    with publisher(server.url.replace("guest:guest", "ingest:secret")) as wakes:
        assert wakes.publish("token")

    assert server.queue_lengths()[queue_name(QUEUE)] == 1


@pytest.mark.servers
def test_a_wake_up_goes_over_tls_if_the_certificate_is_trusted(
    server: RabbitMq, tls_port: int, certificate: Path
) -> None:
    url = f"amqps://guest:guest@127.0.0.1:{tls_port}//"
    with publisher(url) as wakes:
        assert not wakes.publish("untrusted")
    with publisher(f"{url}?ssl_ca_certs={certificate}") as wakes:
        assert _timed(wakes)[0]


@pytest.mark.servers
def test_a_pool_acknowledges_nothing_on_a_connection_that_is_lost(server: RabbitMq) -> None:
    with publisher(server.url) as wakes:
        assert wakes.publish("token")
    with _connected(server) as channel:
        message = channel.basic_get(queue_name(QUEUE))
        channel.connection.collect()

        channel.basic_ack(message.delivery_tag)

    assert server.queue_lengths()[queue_name(QUEUE)] == 1


@pytest.mark.servers
def test_the_first_answer_that_a_pool_waits_for_in_vain_closes_its_connection(
    server: RabbitMq,
) -> None:
    app = celery_for(server.url, "worker")
    app.conf.broker_transport_options |= {"read_timeout": 0.2}
    with closing(app), app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        server.freeze()
        with pytest.raises(TimeoutError):
            channel.queue_declare("any", passive=True)
        server.thaw()

        assert not connection.connected


@pytest.mark.servers
def test_a_killed_rabbitmq_fails_at_once_and_is_used_again_when_it_is_back(
    server: RabbitMq,
) -> None:
    with publisher(server.url) as wakes:
        assert wakes.publish("first")
        server.kill()
        answers = [_timed(wakes) for _ in range(2)]
        server.start()

        assert [published for published, _ in answers] == [False, False]
        assert max(seconds for _, seconds in answers) < BOUND_SECONDS
        assert _timed(wakes)[0], "the exchange survived"


def test_the_pool_of_publishers_has_connections_with_these_bounds() -> None:
    app = celery_for("amqp://host//")
    pool: Any = app.pool
    with pool.acquire() as connection:
        assert connection.transport.Connection is WakeConnection
    app.close()
    kombu.pools.reset()
