"""Configure Celery, which carries wake-ups. A wake-up says that events are due; the inbox has them.

No message carries an event. A lost one costs a second (the sweeper sends another), and a doubled
one costs a claim that finds nothing. So nothing retries, and rejecting on a lost worker is off.
Messages are acknowledged late all the same: a worker then takes no more wake-ups than it has
processes, and leaves the others to idle workers.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Self

import structlog
from celery import Celery
from celery.app.amqp import AMQP
from kombu.connection import Connection, ConnectionPool
from kombu.transport.base import Transport

from runtime import rabbitmq_broker, redis_broker
from runtime.broker_url import is_rabbitmq_url, is_untried
from runtime.error_text import describe
from runtime.settings import Settings, required
from runtime.time_limits import (
    BROKER_AGAIN_SECONDS,
    BROKER_CONNECT_SECONDS,
    TASK_SECONDS,
    WAKE_CONNECT_SECONDS,
    WAKE_QUIET_SECONDS,
    WAKE_TURN_SECONDS,
)

Publish = Callable[[str], bool]
"""Send a wake-up; False if the broker did not take it."""


DRAIN_TASK: Final = "paidup.drain"
"""Publishers know the task by this name only; they do not import its code."""

FETCH_TASK: Final = "paidup.fetch"
"""The task for events that wait for Stripe's API; separate processes run it."""

QUEUE: Final = "drain"
FETCH_QUEUE: Final = "fetch"
CONTROL_EXCHANGE: Final = "paidup"
"""Celery's remote control gets a name of its own (``paidup.pidbox``), since other applications may
use the same broker."""

Role = Literal["publisher", "worker"]
Transports = Mapping[type[Transport], type[Transport]]
"""The transports of Paidup, by those of kombu in whose place they are used."""

log = structlog.stdlib.get_logger(__name__)


class _BrokerConnection(Connection):
    """A connection to the broker by the transport of Paidup, if there is one for that broker."""

    transports: Transports

    def get_transport_cls(self) -> type[Transport]:
        """Return the transport for the broker's URL."""
        named: Any = super().get_transport_cls()
        return self.transports.get(named, named)

    def Pool(self, limit: int | None = None, **kwargs: Any) -> ConnectionPool:  # noqa: N802 - kombu's
        """Return a pool of connections like this one."""
        return _Pool(self, limit, **kwargs)


class _Pool(ConnectionPool):
    """A pool whose connections have the class of its own; kombu's have kombu's transport."""

    def new(self) -> Any:
        return self.connection.clone()


_OF_PUBLISHERS: Final[Transports] = {
    **redis_broker.TRANSPORTS,
    **rabbitmq_broker.PUBLISHER_TRANSPORTS,
}
_OF_WORKERS: Final[Transports] = {**redis_broker.TRANSPORTS, **rabbitmq_broker.WORKER_TRANSPORTS}


class _PublisherConnection(_BrokerConnection):
    transports = _OF_PUBLISHERS


class _RetryingConnection(_BrokerConnection):
    """A connection to the broker that, once lost, is retried every second.

    Celery retries after 2 s, 4 s, ... 30 s and has no setting for it. An outage of half a minute
    would delay due events by another ten seconds.
    """

    transports = _OF_WORKERS

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Self:
        """Wait for the broker, without limit."""
        kwargs |= {"interval_start": BROKER_AGAIN_SECONDS, "interval_step": 0}
        return super().ensure_connection(*args, **kwargs)


class _PublisherAmqp(AMQP):
    """The class from which Celery takes its connection class."""

    Connection = _PublisherConnection


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
    celery.conf.update(_SHARED)
    celery.conf.update(_PUBLISHER if role == "publisher" else _WORKER)
    celery.conf.update(_of_broker(url, role))
    if role == "publisher":
        celery.conf.broker_transport_options |= _ONE_TRY
    return celery


def _of_broker(url: str, role: Role) -> dict[str, Any]:
    if is_untried(url):
        return {"broker_url": url}
    is_worker = role == "worker"
    if not is_rabbitmq_url(url):
        return redis_broker.configuration(url, is_worker=is_worker)
    return rabbitmq_broker.configuration(url, (QUEUE, FETCH_QUEUE), is_worker=is_worker)


_SHARED: Final[dict[str, Any]] = {
    # A publish waits for its turn in ``WakePublisher``, never for a connection of the pool.
    "broker_pool_limit": 2,
    "result_backend": None,
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_default_queue": QUEUE,
    "task_publish_retry": False,
    "enable_utc": True,
    "control_exchange": CONTROL_EXCHANGE,
}

_PUBLISHER: Final[dict[str, Any]] = {"broker_connection_timeout": WAKE_CONNECT_SECONDS}

_ONE_TRY: Final = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}

_WORKER: Final[dict[str, Any]] = {
    "broker_connection_timeout": BROKER_CONNECT_SECONDS,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
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
