"""Check whether ingest refuses what Stripe sends, because of its path or its signature."""

from collections.abc import Iterator
from contextlib import closing

import redis

from ops.doctor.findings import Finding, ok, warning
from ops.status.refused import describe_mismatches, describe_wrong_path
from runtime.inbox.signatures import SignatureRecord
from runtime.inbox.wrong_paths import WrongPaths
from runtime.redis_client import make_redis
from runtime.settings import Settings

_PATH = "webhook path"
_SIGNATURES = "signatures"
_SECONDS = 2.0


def check_refused(settings: Settings) -> Iterator[Finding]:
    """Name wrong paths and mismatched signatures; yield nothing if Redis is unreachable.

    They are warnings: anyone who reaches ingest can send a header that looks like Stripe's.
    """
    if settings.redis_url is None:
        return
    try:
        with closing(make_redis(settings, timeout=_SECONDS)) as client:
            paths = WrongPaths(client).read(settings.webhook_path)
            mismatches = SignatureRecord(client).read()
    except (redis.RedisError, ValueError):
        return
    yield from (warning(_PATH, describe_wrong_path(path)) for path in paths)
    if not paths:
        yield ok(_PATH, f"{settings.webhook_path}; no signed delivery came to another path")
    if mismatches:
        yield warning(_SIGNATURES, describe_mismatches(mismatches))
    else:
        yield ok(_SIGNATURES, "no delivery with a wrong signature came after one that matched")
