"""Check whether Stripe sends deliveries to a path at which ingest does not take them."""

from collections.abc import Iterator
from contextlib import closing

import redis

from ops.doctor.findings import Finding, ok, warning
from ops.status.wrong_paths import describe_wrong_path
from runtime.inbox.wrong_paths import WrongPaths
from runtime.redis_client import make_redis
from runtime.settings import Settings

_CHECK = "webhook path"
_SECONDS = 2.0


def check_webhook_path(settings: Settings) -> Iterator[Finding]:
    """Name each wrong path of the last day; yield nothing if Redis is unreachable.

    They are warnings: anyone who reaches ingest can send a header that looks like Stripe's.
    """
    if settings.redis_url is None:
        return
    try:
        with closing(make_redis(settings, timeout=_SECONDS)) as client:
            found = WrongPaths(client).read(settings.webhook_path)
    except (redis.RedisError, ValueError):
        return
    yield from (warning(_CHECK, describe_wrong_path(path)) for path in found)
    if not found:
        yield ok(_CHECK, f"{settings.webhook_path}; no signed delivery came to another path")
