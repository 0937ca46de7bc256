"""Check that Redis is reachable, keeps acknowledged events, and has memory left."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import redis

from ops.doctor.check_clock import check_clock
from ops.doctor.check_scripts import check_scripts
from ops.doctor.findings import Finding, ok, problem, warning
from ops.errors import first_line
from runtime.inbox.durability import (
    UnsupportedRedis,
    durability_problems,
    refuse_cluster,
    saving_failures,
)
from runtime.inbox.room import FULL_AT_PERCENT
from runtime.redis_client import make_redis
from runtime.settings import Settings
from runtime.time_limits import COMMAND_REDIS_SECONDS

_CHECK = "Redis"
_WAITAOF_SINCE = (7, 2)


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Check the Redis that holds the inbox."""
    if settings.redis_url is None:
        yield problem(_CHECK, "REDIS_URL is not set: set it, or start `paidup up`")
        return
    try:
        with closing(make_redis(settings, timeout=COMMAND_REDIS_SECONDS)) as client:
            yield from _examine(client, settings)
    except (redis.RedisError, ValueError) as error:
        yield problem(
            _CHECK, f"is unreachable: {first_line(error)}; start it, or correct REDIS_URL"
        )


def _examine(client: redis.Redis, settings: Settings) -> Iterator[Finding]:
    info: Any = client.info()
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version", info.get("redis_version", "?"))
    yield ok(_CHECK, f"{name} {version} answers")
    try:
        refuse_cluster(client)
    except UnsupportedRedis as unsupported:
        yield problem(_CHECK, str(unsupported))
        return
    yield from _durability(client, trusted=settings.redis_durability == "trusted")
    yield from (warning("Redis saving", says) for says in saving_failures(info))
    yield from _replicas(info, settings.redis_replicas)
    yield from _room(info)
    yield from check_scripts(client, replicas=settings.redis_replicas)
    yield check_clock("Redis clock", lambda: _time_of(client))


def _durability(client: redis.Redis, *, trusted: bool) -> Iterator[Finding]:
    problems = durability_problems(client, trusted=trusted)
    yield from (problem("Redis durability", says) for says in problems)
    if trusted:
        says = "not checked (PAIDUP_REDIS_DURABILITY=trusted): ask its operator to guarantee it"
        yield warning("Redis durability", says)
    elif not problems:
        yield ok("Redis durability", "every acknowledged event is on disk, and none is evicted")


def _replicas(info: Any, wanted: int) -> Iterator[Finding]:
    if not wanted:
        return
    connected = int(info.get("connected_slaves", 0))
    says = f"{connected} connected, PAIDUP_REDIS_REPLICAS={wanted}"
    version = tuple(int(part) for part in str(info.get("redis_version", "0")).split(".")[:2])
    if connected < wanted:
        yield problem("Redis replicas", f"{says}: ingest answers 503 until the others are back")
    elif version < _WAITAOF_SINCE:
        says = f"{says}: this server proves that they have an event in memory, not on disk; use 7.2"
        yield warning("Redis replicas", says)
    else:
        yield ok("Redis replicas", says)


def _room(info: Any) -> Iterator[Finding]:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most:
        percent = used * 100 // most
        says = f"{percent} % of maxmemory is used"
        full = percent >= FULL_AT_PERCENT
        full_says = f"{says}: raise maxmemory"
        yield problem("Redis memory", full_says) if full else ok("Redis memory", says)


def _time_of(client: redis.Redis) -> datetime:
    seconds, micros = client.time()
    return datetime.fromtimestamp(seconds + micros / 1e6, UTC)
