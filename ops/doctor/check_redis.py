"""Whether Redis is there, keeps what it acknowledges, and has room."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import redis

from ops.doctor.check_clock import check_clock
from ops.doctor.findings import Finding, ok, problem, warning
from runtime.inbox.durability import durability_problems
from runtime.redis_client import make_redis
from runtime.settings import Settings

_CHECK = "Redis"
_SECONDS = 2.0
_FULL_PERCENT = 80


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Everything about the Redis that holds the inbox."""
    if settings.redis_url is None:
        yield problem(_CHECK, "REDIS_URL is not set, and no `paidup up` runs here")
        return
    try:
        with closing(make_redis(settings, timeout=_SECONDS)) as client:
            yield from _examine(client, trusted=settings.redis_durability == "trusted")
    except (redis.RedisError, ValueError) as error:
        yield problem(_CHECK, f"does not answer: {error}")


def _examine(client: redis.Redis, *, trusted: bool) -> Iterator[Finding]:
    told: Any = client.info()
    name = "Valkey" if "valkey_version" in told else "Redis"
    version = told.get("valkey_version", told.get("redis_version", "?"))
    yield ok(_CHECK, f"{name} {version} answers")
    yield from _durability(client, trusted=trusted)
    yield from _room(told)
    yield check_clock("Redis clock", lambda: _time_of(client))


def _durability(client: redis.Redis, *, trusted: bool) -> Iterator[Finding]:
    problems = durability_problems(client, trusted=trusted)
    yield from (problem("Redis durability", says) for says in problems)
    if trusted:
        says = "not checked (PAIDUP_REDIS_DURABILITY=trusted): whoever runs it vouches for it"
        yield warning("Redis durability", says)
    elif not problems:
        yield ok("Redis durability", "what it acknowledges is on disk, and nothing is evicted")


def _room(told: Any) -> Iterator[Finding]:
    used, most = int(told.get("used_memory", 0)), int(told.get("maxmemory", 0))
    if most:
        percent = used * 100 // most
        says = f"{percent} % of maxmemory is used"
        full = percent >= _FULL_PERCENT
        yield problem("Redis memory", f"{says}: give it more") if full else ok("Redis memory", says)


def _time_of(client: redis.Redis) -> datetime:
    seconds, micros = client.time()
    return datetime.fromtimestamp(seconds + micros / 1e6, UTC)
