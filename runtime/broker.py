"""Celery as the bell, not the post: a message says that something is due, the inbox says what.

No message carries an event, so a lost one costs a second (the sweeper rings again) and a doubled
one costs a look. That is why nothing here retries, and why rejecting on a lost worker is off.
Messages are acknowledged late all the same: a worker then takes no more wake-ups than it has
processes, and leaves the others to workers that are idle.
"""

import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

import structlog
from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection

from runtime.settings import Settings, required

Publish = Callable[[str], bool]
"""Send a wake-up; False where the broker did not take it."""


DRAIN_TASK: Final = "paidup.drain"
"""Publishers know the task by this name only; they have none of its code."""

FETCH_TASK: Final = "paidup.fetch"
"""The same for events that wait for Stripe's API; processes of their own take these."""

QUEUE: Final = "drain"
FETCH_QUEUE: Final = "fetch"
KEY_PREFIX: Final = "paidup:q:"
"""Of every Celery key in Redis; ``paidup:q:drain`` is the list of wake-ups."""

TASK_SECONDS: Final = 60
"""Then a worker process is killed: PostgreSQL rolls back and the lease runs out."""

ASK_AGAIN_SECONDS: Final = 1.0
"""How often a worker asks whether the broker is back."""

_VISIBILITY_SECONDS: Final = 150
_QUIET_SECONDS: Final = 2.0
_TURN_SECONDS: Final = 0.05

Role = Literal["publisher", "worker"]

log = structlog.stdlib.get_logger(__name__)


class _Line(Connection):
    """A connection to the broker that, once lost, is asked for again every second.

    Celery asks after 2 s, 4 s, ... 30 s and has no setting for it: an outage of half a minute
    would cost workers ten seconds more, in which events are due and nobody is woken.
    """

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Self:
        """Wait for the broker, however long that takes."""
        kwargs |= {"interval_start": ASK_AGAIN_SECONDS, "interval_step": 0}
        return super().ensure_connection(*args, **kwargs)


class _Lines(AMQP):
    """Where Celery takes the class of its connections from."""

    Connection = _Line


def make_celery(settings: Settings, *, role: Role) -> Celery:
    """A Celery application that is nobody's current one; connects when first used."""
    lines = _Lines if role == "worker" else None
    celery = Celery("paidup", amqp=lines, set_as_current=False)
    celery.conf.update(_shared(required(settings.broker_url, "CELERY_BROKER_URL")))
    celery.conf.update(_PUBLISHER if role == "publisher" else _WORKER)
    return celery


def _shared(url: str) -> dict[str, Any]:
    return {
        "broker_url": _for_kombu(url),
        "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED} if _is_bare_tls(url) else None,
        # A publish waits for its turn in ``Wakes``, never for a connection of the pool.
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
    # The same in every process: Redis is swept by whoever has the shortest.
    "visibility_timeout": _VISIBILITY_SECONDS,
    "socket_keepalive": True,
    "retry_on_timeout": False,
    "priority_steps": [0],
}

_PUBLISHER: Final[dict[str, Any]] = {
    "broker_connection_timeout": 0.3,
    "broker_transport_options": {
        **_TRANSPORT,
        # A question before the message could wait as long as the message itself.
        "health_check_interval": 0,
        "socket_timeout": 0.5,
        "socket_connect_timeout": 0.3,
        "max_retries": 0,
        "interval_start": 0,
        "interval_step": 0,
        "interval_max": 0,
    },
}

_WORKER: Final[dict[str, Any]] = {
    "broker_connection_timeout": 2,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": {
        **_TRANSPORT,
        "health_check_interval": 10,
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 30,
        "queue_order_strategy": "round_robin",
    },
    "worker_pool": "prefork",
    "worker_prefetch_multiplier": 1,
    "worker_max_tasks_per_child": 2000,
    "worker_max_memory_per_child": 300_000,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    # What runs is fenced by leases and unique keys; killing it would only waste it.
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
    """The URL as kombu spells it: redis-py's ``unix://...?db=1`` has other names there."""
    if urlsplit(url).scheme != "unix":
        return url
    return url.replace("unix://", "redis+socket://", 1).replace("db=", "virtual_host=", 1)


def _is_bare_tls(url: str) -> bool:
    # kombu turns TLS on by options only; rediss:// alone would speak in the clear.
    parts = urlsplit(url)
    return parts.scheme == "rediss" and "ssl_" not in parts.query


class Wakes:
    """Publishes wake-ups for all threads of a process, one at a time.

    Never for long if the application is a publisher's; with a worker's it may take 5 s.
    """

    def __init__(self, celery: Celery, *, task: str = DRAIN_TASK, queue: str = QUEUE) -> None:
        self._celery = celery
        self._task = task
        self._queue = queue
        self._turn = threading.Lock()
        self._quiet_until = float("-inf")

    def publish(self, token: str) -> bool:
        """Ring for the registration; False, soon, if the broker does not take it.

        Then the registration must be ended, or nobody rings until it expires. After a failure it
        is False without asking for two seconds; the events are safe and the sweeper rings too.
        """
        if time.monotonic() < self._quiet_until or not self._turn.acquire(timeout=_TURN_SECONDS):
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
        except Exception as error:  # noqa: BLE001 - kombu fails in ways of its own, AttributeError too
            self._quiet_until = time.monotonic() + _QUIET_SECONDS
            log.warning("wake-up not published", error=f"{type(error).__name__}: {error}")
            return False
        return True


def wakes_for_fetching(publisher: Celery) -> Publish:
    """How those are woken who ask Stripe's API."""
    return Wakes(publisher, task=FETCH_TASK, queue=FETCH_QUEUE).publish
