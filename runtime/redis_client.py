"""Make Redis clients that fail in time and never retry by themselves."""

from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.settings import Settings, required

_CONNECT_SHARE: Final = 0.6
"""A reachable server accepts a connection sooner than it answers a command."""

_POOL_SIZE: Final = 16


def make_redis(
    settings: Settings, *, timeout: float = 0.5, pool_size: int = _POOL_SIZE
) -> redis.Redis:
    """Return a client whose every call waits at most ``timeout`` seconds for an answer.

    It never retries a call, because one that timed out may have taken effect, and the caller has to
    decide what that means. If more threads than ``pool_size`` use it, the others get an error at
    once. Connections that the server closed are replaced before use, without a health check.
    """
    return redis.Redis.from_url(
        required(settings.redis_url, "REDIS_URL"),
        socket_timeout=timeout,
        socket_connect_timeout=timeout * _CONNECT_SHARE,
        max_connections=pool_size,
        health_check_interval=0,
        retry=Retry(NoBackoff(), 0),
        # Fewer commands when a connection is opened: each of them could wait for its own answer.
        protocol=2,
        driver_info=None,
    )
