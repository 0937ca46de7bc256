"""Check that a broker apart from the inbox takes wake-ups."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from ops.doctor.findings import Finding, ok, problem
from runtime.broker import make_celery
from runtime.error_text import describe
from runtime.settings import Settings

_CHECK = "broker"


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Ask the broker as ingest reaches it; yield nothing if it is the Redis of the inbox."""
    if settings.broker_url in (None, settings.redis_url):
        return
    try:
        with (
            closing(make_celery(settings, role="publisher")) as celery,
            celery.connection_for_write() as connection,
        ):
            channel: Any = connection.default_channel
            channel.client.ping()
    except Exception as error:  # noqa: BLE001 - kombu raises other errors too, even AttributeError
        yield problem(
            _CHECK, f"is unreachable: {describe(error)}; start it, or correct CELERY_BROKER_URL"
        )
    else:
        yield ok(_CHECK, "CELERY_BROKER_URL names another server than REDIS_URL, and it answers")
