"""Wake-ups over Redis: kombu's transport on Paidup's connections, and its options."""

import ssl
from typing import Any, Final

import structlog
from kombu.transport import redis as kombu_redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.error_text import describe
from runtime.redis_connection import (
    PrimaryConnection,
    PrimarySentinelConnection,
    PrimarySentinelSSLConnection,
    PrimarySSLConnection,
)
from runtime.sentinel_url import is_sentinel_url, read_sentinel_url, scheme_of
from runtime.time_limits import (
    BROKER_CONNECT_SECONDS,
    BROKER_HEALTH_SECONDS,
    BROKER_SENTINEL_SECONDS,
    RESTORE_LOCK_SECONDS,
    VISIBILITY_SECONDS,
    WAKE_ANSWER_SECONDS,
    WAKE_CONNECT_SECONDS,
    WORKER_REDIS_SECONDS,
)

KEY_PREFIX: Final = "paidup:q:"
"""The prefix of every Celery key in Redis; ``paidup:q:drain`` is the list of wake-ups."""

log = structlog.stdlib.get_logger(__name__)


class _QoS(kombu_redis.QoS):
    """Leaves unacknowledged wake-ups where they are if the broker is gone.

    kombu puts them back when it closes a lost connection. If that fails too, it raises errors that
    Celery does not expect (even ``AttributeError``), and the pool's main process ends. They return
    by themselves when the visibility timeout is over.
    """

    def restore_unacked_once(self, stderr: Any = None) -> None:
        try:
            super().restore_unacked_once(stderr)
        except Exception as error:  # noqa: BLE001 - see above
            log.info("wake-ups not put back", error=describe(error))

    def ack(self, delivery_tag: str) -> None:
        if not self.channel.closed:
            super().ack(delivery_tag)


class _Channel(kombu_redis.Channel):
    QoS = _QoS
    connection_class = PrimaryConnection
    connection_class_ssl = PrimarySSLConnection


class _PrimaryTransport(kombu_redis.Transport):
    """kombu's transport, with the connections that Paidup uses for the inbox.

    Each closes itself when its server is no longer the primary.
    """

    Channel = _Channel


class _SentinelChannel(kombu_redis.SentinelChannel):
    QoS = _QoS
    connection_class = PrimarySentinelConnection
    connection_class_ssl = PrimarySentinelSSLConnection


class _PrimarySentinelTransport(kombu_redis.SentinelTransport):
    Channel = _SentinelChannel


TRANSPORTS: Final[dict[type[Any], type[Any]]] = {
    kombu_redis.Transport: _PrimaryTransport,
    kombu_redis.SentinelTransport: _PrimarySentinelTransport,
}
"""The transports of Paidup, by those of kombu in whose place they are used."""


def configuration(url: str, *, is_worker: bool) -> dict[str, Any]:
    """Return what Celery must know of this broker, for a worker or for a publisher."""
    options = _WORKER if is_worker else _PUBLISHER
    return {
        "broker_url": _for_kombu(url),
        "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED} if _is_bare_tls(url) else None,
        "broker_transport_options": options | _sentinel_options(url),
    }


_SHARED: Final[dict[str, Any]] = {
    "global_keyprefix": KEY_PREFIX,
    # The same in every process: the shortest one wins, because each process restores messages.
    "visibility_timeout": VISIBILITY_SECONDS,
    "socket_keepalive": True,
    "retry_on_timeout": False,
    "priority_steps": [0],
}

_PUBLISHER: Final[dict[str, Any]] = {
    **_SHARED,
    # A health check before the message could wait as long as the message itself.
    "health_check_interval": 0,
    "socket_timeout": WAKE_ANSWER_SECONDS,
    "socket_connect_timeout": WAKE_CONNECT_SECONDS,
}

_WORKER: Final[dict[str, Any]] = {
    **_SHARED,
    "health_check_interval": BROKER_HEALTH_SECONDS,
    "socket_timeout": WORKER_REDIS_SECONDS,
    "socket_connect_timeout": BROKER_CONNECT_SECONDS,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": RESTORE_LOCK_SECONDS,
    "queue_order_strategy": "round_robin",
}


def _sentinel_options(url: str) -> dict[str, Any]:
    if not is_sentinel_url(url):
        return {}
    sentinels = read_sentinel_url(url)
    return {
        "master_name": sentinels.service,
        "sentinel_kwargs": {
            "socket_timeout": BROKER_SENTINEL_SECONDS,
            "socket_connect_timeout": BROKER_SENTINEL_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            **sentinels.sentinel_options,
        },
    }


def _for_kombu(url: str) -> str:
    """Return the URL in kombu's spelling, which differs for sockets (``?db=1``) and sentinels."""
    if is_sentinel_url(url):
        return read_sentinel_url(url).for_kombu()
    if scheme_of(url) != "unix":
        return url
    return url.replace("unix://", "redis+socket://", 1).replace("db=", "virtual_host=", 1)


def _is_bare_tls(url: str) -> bool:
    # kombu enables TLS by options only; with rediss:// alone it would send plain text.
    return scheme_of(url) in {"rediss", "rediss+sentinel"} and "ssl_" not in url.partition("?")[2]
