"""Configure Celery, which carries wake-ups. A wake-up says that events are due; the inbox has them.

No message carries an event. A lost one costs a second (the sweeper sends another), and a doubled
one costs a claim that finds nothing. So nothing retries, and rejecting on a lost worker is off.
Messages are acknowledged late all the same: a worker then takes no more wake-ups than it has
processes, and leaves the others to idle workers.
"""

import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal, Self

import structlog
from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection
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
from runtime.sentinel_url import SentinelUrl, is_sentinel_url, read_sentinel_url, scheme_of
from runtime.settings import Settings, required
from runtime.time_limits import (
    BROKER_AGAIN_SECONDS,
    BROKER_CONNECT_SECONDS,
    BROKER_HEALTH_SECONDS,
    BROKER_SENTINEL_SECONDS,
    RESTORE_LOCK_SECONDS,
    TASK_SECONDS,
    VISIBILITY_SECONDS,
    WAKE_ANSWER_SECONDS,
    WAKE_CONNECT_SECONDS,
    WAKE_QUIET_SECONDS,
    WAKE_TURN_SECONDS,
    WORKER_REDIS_SECONDS,
)

Publish = Callable[[str], bool]
"""Send a wake-up; False if the broker did not take it."""


DRAIN_TASK: Final = "paidup.drain"
"""Publishers know the task by this name only; they do not import its code."""

FETCH_TASK: Final = "paidup.fetch"
"""The task for events that wait for Stripe's API; separate processes run it."""

QUEUE: Final = "drain"
FETCH_QUEUE: Final = "fetch"
KEY_PREFIX: Final = "paidup:q:"
"""The prefix of every Celery key in Redis; ``paidup:q:drain`` is the list of wake-ups."""

Role = Literal["publisher", "worker"]

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


class _Transport(kombu_redis.Transport):
    Channel = _Channel


class _SentinelChannel(kombu_redis.SentinelChannel):
    QoS = _QoS
    connection_class = PrimarySentinelConnection
    connection_class_ssl = PrimarySentinelSSLConnection


class _SentinelTransport(kombu_redis.SentinelTransport):
    Channel = _SentinelChannel


class _PrimaryConnection(Connection):
    """A connection to the broker that is closed when its server is no longer the primary."""

    def get_transport_cls(self) -> type[kombu_redis.Transport]:
        """Return kombu's transport, with the connections that Paidup uses for the inbox."""
        named: Any = super().get_transport_cls()
        ours = {
            kombu_redis.Transport: _Transport,
            kombu_redis.SentinelTransport: _SentinelTransport,
        }
        return ours.get(named, named)  # type: ignore[no-any-return]


class _RetryingConnection(_PrimaryConnection):
    """A connection to the broker that, once lost, is retried every second.

    Celery retries after 2 s, 4 s, ... 30 s and has no setting for it. An outage of half a minute
    would delay due events by another ten seconds.
    """

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Self:
        """Wait for the broker, without limit."""
        kwargs |= {"interval_start": BROKER_AGAIN_SECONDS, "interval_step": 0}
        return super().ensure_connection(*args, **kwargs)


class _PublisherAmqp(AMQP):
    """The class from which Celery takes its connection class."""

    Connection = _PrimaryConnection


class _WorkerAmqp(AMQP):
    Connection = _RetryingConnection


class _Celery(Celery):
    """Celery that takes the broker's URL from its configuration and never from the environment.

    Celery prefers ``CELERY_BROKER_URL`` itself, unread by ``Settings`` and not in kombu's spelling.
    """

    def connection_for_read(self, url: str | None = None, **kwargs: Any) -> Any:
        """Return a connection for consuming."""
        return super().connection_for_read(url or self.conf["broker_url"], **kwargs)

    def connection_for_write(self, url: str | None = None, **kwargs: Any) -> Any:
        """Return a connection for publishing."""
        return super().connection_for_write(url or self.conf["broker_url"], **kwargs)


def make_celery(settings: Settings, *, role: Role) -> Celery:
    """Return a Celery application, not set as the current one. It connects on first use."""
    amqp = _WorkerAmqp if role == "worker" else _PublisherAmqp
    celery = _Celery("paidup", amqp=amqp, set_as_current=False)
    url = required(settings.broker_url, "CELERY_BROKER_URL")
    celery.conf.update(_shared(url))
    celery.conf.update(_PUBLISHER if role == "publisher" else _WORKER)
    if is_sentinel_url(url):
        options = celery.conf.broker_transport_options
        celery.conf.broker_transport_options = options | _sentinel_options(read_sentinel_url(url))
    return celery


def _sentinel_options(url: SentinelUrl) -> dict[str, Any]:
    return {
        "master_name": url.service,
        "sentinel_kwargs": {
            "socket_timeout": BROKER_SENTINEL_SECONDS,
            "socket_connect_timeout": BROKER_SENTINEL_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            **url.sentinel_options,
        },
    }


def _shared(url: str) -> dict[str, Any]:
    return {
        "broker_url": _for_kombu(url),
        "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED} if _is_bare_tls(url) else None,
        # A publish waits for its turn in ``WakePublisher``, never for a connection of the pool.
        "broker_pool_limit": 2,
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_default_queue": QUEUE,
        "task_publish_retry": False,
        "enable_utc": True,
    }


_TRANSPORT: Final = {
    "global_keyprefix": KEY_PREFIX,
    # The same in every process: the shortest one wins, because each process restores messages.
    "visibility_timeout": VISIBILITY_SECONDS,
    "socket_keepalive": True,
    "retry_on_timeout": False,
    "priority_steps": [0],
}

_PUBLISHER: Final[dict[str, Any]] = {
    "broker_connection_timeout": WAKE_CONNECT_SECONDS,
    "broker_transport_options": {
        **_TRANSPORT,
        # A health check before the message could wait as long as the message itself.
        "health_check_interval": 0,
        "socket_timeout": WAKE_ANSWER_SECONDS,
        "socket_connect_timeout": WAKE_CONNECT_SECONDS,
        "max_retries": 0,
        "interval_start": 0,
        "interval_step": 0,
        "interval_max": 0,
    },
}

_WORKER: Final[dict[str, Any]] = {
    "broker_connection_timeout": BROKER_CONNECT_SECONDS,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": {
        **_TRANSPORT,
        "health_check_interval": BROKER_HEALTH_SECONDS,
        "socket_timeout": WORKER_REDIS_SECONDS,
        "socket_connect_timeout": BROKER_CONNECT_SECONDS,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": RESTORE_LOCK_SECONDS,
        "queue_order_strategy": "round_robin",
    },
    "worker_pool": "prefork",
    "worker_prefetch_multiplier": 1,
    "worker_max_tasks_per_child": 2000,
    "worker_max_memory_per_child": 300_000,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    # Leases and unique keys make a running task safe; killing it would only waste its work.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "task_acks_late": True,
    "task_acks_on_failure": True,
    "task_acks_on_timeout": True,
    "task_reject_on_worker_lost": False,
    "task_time_limit": TASK_SECONDS,
    "task_track_started": False,
    "task_store_errors_even_if_ignored": False,
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


class WakePublisher:
    """Publish wake-ups for all threads of a process, one at a time.

    A publisher's application answers soon. With a worker's, a call may take 5 s.
    """

    def __init__(self, celery: Celery, *, task: str = DRAIN_TASK, queue: str = QUEUE) -> None:
        self._celery = celery
        self._task = task
        self._queue = queue
        self._turn = threading.Lock()
        self._quiet_until = float("-inf")

    def publish(self, token: str) -> bool:
        """Send a wake-up for a registration; False, soon, if the broker does not take it.

        The caller must then unregister it, or no wake-up is sent until it expires. For two seconds
        after a failure it returns False at once; the events are safe and the sweeper sends one.
        """
        if time.monotonic() < self._quiet_until or not self._turn.acquire(
            timeout=WAKE_TURN_SECONDS
        ):
            return False
        try:
            return time.monotonic() >= self._quiet_until and self._send(token)
        finally:
            self._turn.release()

    def _send(self, token: str) -> bool:
        try:
            self._celery.send_task(
                self._task, args=[token], queue=self._queue, ignore_result=True, retry=False
            )
        except Exception as error:  # noqa: BLE001 - kombu raises other errors too, even AttributeError
            self._quiet_until = time.monotonic() + WAKE_QUIET_SECONDS
            log.warning("wake-up not published", error=describe(error))
            return False
        return True


def fetch_wake_publisher(publisher: Celery) -> Publish:
    """Return the function that wakes the fetch pool."""
    return WakePublisher(publisher, task=FETCH_TASK, queue=FETCH_QUEUE).publish
