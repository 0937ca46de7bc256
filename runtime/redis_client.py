"""Clients of Redis that fail in time instead of waiting or trying again by themselves."""

from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from runtime.settings import Settings, required

_CONNECT_SHARE: Final = 0.6
"""A server that is there answers the first packet sooner than any command."""

_POOL_SIZE: Final = 16


def make_redis(
    settings: Settings, *, timeout: float = 0.5, pool_size: int = _POOL_SIZE
) -> redis.Redis:
    """A client whose every call ends within ``timeout`` seconds of waiting for an answer.

    It never repeats a call: whether a call that timed out was carried out is not known, and the
    caller decides what that means. More threads than ``pool_size`` get an error, not a place in
    a line. Connections that the server closed are replaced before use, without a question first.
    """
    return redis.Redis.from_url(
        required(settings.redis_url, "REDIS_URL"),
        socket_timeout=timeout,
        socket_connect_timeout=timeout * _CONNECT_SHARE,
        max_connections=pool_size,
        health_check_interval=0,
        retry=Retry(NoBackoff(), 0),
        # Fewer questions when a connection is opened: each of them could wait for its own answer.
        protocol=2,
        driver_info=None,
    )
