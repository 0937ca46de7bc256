"""Wake-ups over RabbitMQ: the queues, and a publisher whose every wait ends.

The queues are durable and the messages are not: after a restart of the server the queues are there
and empty, and no wake-up waits for a disk. The queues are classic ones, since a quorum queue writes
each message to several disks. Only workers declare them. A publisher needs no right but to write to
the default exchange, and has one answer fewer to wait for. What it sends before a queue is there
is dropped; no worker would take it.

A wake-up is confirmed, so a server that takes no messages (its memory or disk alarm) is noticed as
a server that is gone is. One that no worker took within ``WAKE_KEPT_SECONDS`` is dropped: it was
owed again long ago.
"""

import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from kombu import Exchange, Queue
from kombu.transport import pyamqp

from runtime.sentinel_url import scheme_of
from runtime.time_limits import (
    BROKER_HEALTH_SECONDS,
    WAKE_ANSWER_SECONDS,
    WAKE_CONNECT_SECONDS,
    WAKE_KEPT_SECONDS,
    WORKER_REDIS_SECONDS,
)

_PREFIX: Final = "paidup."
"""Other applications may have queues on the same server."""

_DEFAULT_EXCHANGE: Final = ""
"""It hands a message to the queue of the name that the message bears."""

_TLS_OPTIONS: Final = {
    "ssl_ca_certs": "ca_certs",
    "ssl_certfile": "certfile",
    "ssl_keyfile": "keyfile",
}
"""By their names in a URL, which are those of ``rediss://``, the options as py-amqp names them."""


_PUBLISHER: Final[dict[str, Any]] = {
    "broker_transport_options": {
        "client_properties": {"connection_name": "paidup publisher"},
        "write_timeout": WAKE_ANSWER_SECONDS,
    },
}

_WORKER: Final[dict[str, Any]] = {
    # A frozen server closes nothing: after two of these without a sign of it, a pool connects anew.
    "broker_heartbeat": BROKER_HEALTH_SECONDS,
    "broker_transport_options": {
        "client_properties": {"connection_name": "paidup worker"},
        "read_timeout": WORKER_REDIS_SECONDS,
        "write_timeout": WORKER_REDIS_SECONDS,
    },
}


def configuration(url: str, queues: Iterable[str], *, is_worker: bool) -> dict[str, Any]:
    """Return what Celery must know of this broker, for a worker or for a publisher."""
    address, tls = _url_and_tls(url)
    return {
        **(_WORKER if is_worker else _PUBLISHER),
        "broker_url": address,
        "broker_use_ssl": tls,
        "task_queues": _make_queues(queues, declared=is_worker),
        "task_default_exchange": _DEFAULT_EXCHANGE,
        "task_default_delivery_mode": "transient",
    }


def queue_name(queue: str) -> str:
    """Return the name that a pool's queue has in RabbitMQ."""
    return f"{_PREFIX}{queue}"


def _make_queues(names: Iterable[str], *, declared: bool) -> tuple[Queue, ...]:
    """Return the queues, which Celery knows by ``names`` as well; declare them on first use or not.

    The type is named because a server may have another default.
    """
    return tuple(
        Queue(
            queue_name(name),
            Exchange(_DEFAULT_EXCHANGE),
            routing_key=queue_name(name),
            alias=name,
            queue_arguments={"x-queue-type": "classic"},
            no_declare=not declared,
        )
        for name in names
    )


def _url_and_tls(url: str) -> tuple[str, dict[str, Any] | None]:
    """Return the URL without its TLS options, and these; a certificate is always verified."""
    address, mark, query = url.partition("?")
    given = parse_qsl(query)
    rest = urlencode([each for each in given if each[0] not in _TLS_OPTIONS])
    kept = f"{address}{mark if rest else ''}{rest}"
    if scheme_of(url) != "amqps":
        return kept, None
    named = {_TLS_OPTIONS[name]: value for name, value in given if name in _TLS_OPTIONS}
    # kombu puts the URL's host in the place of the None; py-amqp compares no name without one.
    return kept, {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None, **named}


class _WakeChannel(pyamqp.Channel):
    """A channel on which each message is confirmed."""

    def basic_publish(self, msg: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a message and wait for its confirmation.

        Raises:
            Exception: of many types; the connection is closed then.
        """
        msg.properties["expiration"] = str(round(WAKE_KEPT_SECONDS * 1000))
        connection: WakeConnection = self.connection
        with_answer: Callable[..., Any] = self.basic_publish_confirm
        try:
            return with_answer(msg, *args, **kwargs)
        except BaseException:
            connection.collect()
            raise
        finally:
            connection.waits_until = None


class WakeConnection(pyamqp.Connection):
    """A connection whose waits all end. The first one that ends without an answer closes it.

    py-amqp waits for most answers without limit. If a connection went on after a failure, the late
    answer to one wake-up would confirm the next, and a channel that was closed would stay closed.
    """

    Channel = _WakeChannel

    waits_until: float | None = None
    """When the wait that has begun must end; one limit for opening and for the first message."""

    def connect(self, callback: Any = None) -> Any:
        """Open the connection."""
        self.waits_until = time.monotonic() + WAKE_CONNECT_SECONDS + WAKE_ANSWER_SECONDS
        return super().connect(callback)

    def blocking_read(self, timeout: float | None = None) -> Any:
        """Read one frame; py-amqp looks with a timeout of 0 for what has arrived by itself."""
        if timeout == 0:
            return self._look()
        try:
            return super().blocking_read(self._time_left())
        except BaseException:
            self.collect()
            raise

    def _look(self) -> Any:
        try:
            return super().blocking_read(0)
        except TimeoutError:
            raise
        except BaseException:
            self.collect()
            raise

    def _time_left(self) -> float:
        now = time.monotonic()
        if self.waits_until is None:
            self.waits_until = now + WAKE_ANSWER_SECONDS
        # 0 would read without waiting, which raises another error.
        return max(self.waits_until - now, 0.001)


class _PoolChannel(pyamqp.Channel):
    """Acknowledges nothing once its connection is lost: RabbitMQ hands out the wake-up again.

    Celery would log an error with a traceback for each wake-up that was under way.
    """

    def basic_ack(self, *args: Any, **kwargs: Any) -> None:
        if self.connection is not None:
            super().basic_ack(*args, **kwargs)


class _PoolConnection(pyamqp.Connection):
    """A connection that the first wait without an answer closes.

    Celery asks the server several times when it stops. A frozen one would hold up each of these.
    """

    Channel = _PoolChannel

    def blocking_read(self, timeout: float | None = None) -> Any:
        try:
            return super().blocking_read(timeout)
        except TimeoutError:
            if timeout is None:
                self.collect()
            raise


class _PoolTransport(pyamqp.Transport):
    Connection = _PoolConnection


class _PoolTLSTransport(pyamqp.SSLTransport):
    Connection = _PoolConnection


class _WakeTransport(pyamqp.Transport):
    Connection = WakeConnection


class _WakeTLSTransport(pyamqp.SSLTransport):
    Connection = WakeConnection


PUBLISHER_TRANSPORTS: Final[dict[type[Any], type[Any]]] = {
    pyamqp.Transport: _WakeTransport,
    pyamqp.SSLTransport: _WakeTLSTransport,
}
"""The transports of Paidup, by those of kombu in whose place they are used."""

WORKER_TRANSPORTS: Final[dict[type[Any], type[Any]]] = {
    pyamqp.Transport: _PoolTransport,
    pyamqp.SSLTransport: _PoolTLSTransport,
}
