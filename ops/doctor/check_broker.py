"""Check that a broker apart from the inbox takes wake-ups."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from amqp.exceptions import AccessRefused, PreconditionFailed
from celery import Celery
from kombu import Message

from ops.doctor.findings import Finding, ok, problem, warning
from runtime.broker import make_celery
from runtime.broker_url import doubts_of_broker, is_rabbitmq_url, is_untried
from runtime.error_text import describe
from runtime.settings import Settings

_CHECK = "broker"
_NO_QUEUE: Final = "paidup.doctor"
"""No queue has this name. RabbitMQ confirms a message to it as any other, and drops it."""


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Ask the broker as ingest reaches it; yield nothing if it is the Redis of the inbox."""
    url = settings.broker_url
    if url in (None, settings.redis_url):
        return
    yield from (warning(_CHECK, doubt) for doubt in doubts_of_broker(url))
    if is_rabbitmq_url(url):
        yield _ask_rabbitmq(settings)
    elif not is_untried(url):
        yield _ask_redis(settings)


def _ask_redis(settings: Settings) -> Finding:
    try:
        with (
            closing(make_celery(settings, role="publisher")) as celery,
            celery.connection_for_write() as connection,
        ):
            channel: Any = connection.default_channel
            channel.client.ping()
    except Exception as error:  # noqa: BLE001 - kombu raises other errors too, even AttributeError
        return _unreachable(error)
    return ok(_CHECK, "CELERY_BROKER_URL names another server than REDIS_URL, and it answers")


def _ask_rabbitmq(settings: Settings) -> Finding:
    """Declare the queues as a worker does, then send to none of them as ingest does."""
    try:
        with closing(make_celery(settings, role="worker")) as celery:
            _declare_queues(celery)
    except PreconditionFailed as error:
        return problem(
            _CHECK,
            f"has a queue of Paidup's name with other properties: {describe(error)};"
            " delete it (`rabbitmqctl delete_queue NAME`), or use a virtual host of its own",
        )
    except AccessRefused as error:
        return problem(
            _CHECK, f"refuses the user of CELERY_BROKER_URL: {describe(error)}; give it its rights"
        )
    except Exception as error:  # noqa: BLE001 - py-amqp raises many
        return _unreachable(error)
    try:
        with closing(make_celery(settings, role="publisher")) as celery:
            _send_nowhere(celery)
    except Exception as error:  # noqa: BLE001 - as above
        return problem(
            _CHECK,
            f"answers and takes no message: {describe(error)}; `rabbitmq-diagnostics alarms` says"
            " whether its memory or its disk is full",
        )
    return ok(_CHECK, "RabbitMQ answers, has the queues of the workers, and takes messages")


def _declare_queues(celery: Celery) -> None:
    with celery.connection_for_write() as connection:
        connection.connect()
        for queue in celery.amqp.queues.values():
            queue(connection.default_channel).declare()


def _send_nowhere(celery: Celery) -> None:
    with celery.connection_for_write() as connection:
        channel: Any = connection.default_channel
        # A server whose memory is full may still take the first message of a connection.
        for _ in range(2):
            message: Message = channel.prepare_message(b"")
            channel.basic_publish(message, exchange="", routing_key=_NO_QUEUE)


def _unreachable(error: Exception) -> Finding:
    return problem(
        _CHECK, f"is unreachable: {describe(error)}; start it, or correct CELERY_BROKER_URL"
    )
