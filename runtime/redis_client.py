"""Make Redis clients that fail in time, never retry by themselves, and follow the primary."""

from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from runtime.redis_connection import (
    Generation,
    PrimaryConnection,
    PrimarySentinelConnection,
    PrimarySentinelSSLConnection,
    PrimarySSLConnection,
    PrimaryUnixConnection,
)
from runtime.sentinel_url import SentinelUrl, is_sentinel_url, read_sentinel_url, scheme_of
from runtime.settings import Settings, required
from runtime.time_limits import INGEST_REDIS_SECONDS, REDIS_CONNECT_SHARE, SENTINEL_SHARE

_POOL_SIZE: Final = 16

_CLASSES: Final = {
    "redis": PrimaryConnection,
    "rediss": PrimarySSLConnection,
    "unix": PrimaryUnixConnection,
}


def make_redis(
    settings: Settings,
    *,
    timeout: float = INGEST_REDIS_SECONDS,
    pool_size: int = _POOL_SIZE,
    generation: Generation | None = None,
) -> redis.Redis:
    """Return a client whose every call waits at most ``timeout`` seconds for an answer.

    It never retries a call, because one that timed out may have taken effect, and the caller has to
    decide what that means. If more threads than ``pool_size`` use it, the others get an error at
    once. Connections that the server closed are replaced before use, without a health check. A
    server that cannot take writes raises ``CannotWrite``, and all connections of the client, and
    of others with the same ``generation``, are made again.
    """
    url = required(settings.redis_url, "REDIS_URL")
    options = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout * REDIS_CONNECT_SHARE,
        "max_connections": pool_size,
        "health_check_interval": 0,
        "retry": _once(),
        # Fewer commands when a connection is opened: each of them could wait for its own answer.
        "protocol": 2,
        "driver_info": None,
        "generation": generation or Generation(),
    }
    if is_sentinel_url(url):
        pool = _sentinel_pool(read_sentinel_url(url), options, timeout * SENTINEL_SHARE)
        return redis.Redis.from_pool(pool)
    options["connection_class"] = _CLASSES[scheme_of(url)]
    return redis.Redis.from_url(url, **options)


def _sentinel_pool(
    url: SentinelUrl, options: dict[str, Any], sentinel_timeout: float
) -> SentinelConnectionPool:
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        url.sentinels,
        sentinel_kwargs={
            "socket_timeout": sentinel_timeout,
            "socket_connect_timeout": sentinel_timeout,
            "retry": _once(),
            "protocol": 2,
            **url.sentinel_options,
        },
    )
    return SentinelConnectionPool(  # type: ignore[no-untyped-call]
        url.service,
        sentinels,
        connection_class=PrimarySentinelSSLConnection if url.tls else PrimarySentinelConnection,
        db=url.database,
        username=url.username,
        password=url.password,
        **options,
    )


def _once() -> Retry:
    return Retry(NoBackoff(), 0)
