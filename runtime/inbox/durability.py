"""Check that events which Redis acknowledged survive a power cut and a full memory.

Each problem is a sentence that says what to set. A managed server may hide its settings. The
operator then vouches for them with ``PAIDUP_REDIS_DURABILITY=trusted``, and only INFO is checked.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import redis
from redis.exceptions import ResponseError

CLUSTER: Final = (
    "Redis is in cluster mode, which Paidup does not support, since each of its scripts uses many"
    " keys: use a Redis or Valkey without cluster mode (cluster-enabled no), with replicas and"
    " Sentinel where it must survive its machine"
)


class UnsupportedRedis(redis.RedisError):
    """This kind of server can never hold the inbox; the message says what to use instead."""


_SETTINGS: Final = (
    ("appendonly", "yes", "without it a restart loses every acknowledged event"),
    ("appendfsync", "always", "otherwise a power cut loses the last acknowledged events"),
    ("no-appendfsync-on-rewrite", "no", "otherwise nothing is synced during a rewrite"),
    ("maxmemory-policy", "noeviction", "otherwise a full Redis evicts acknowledged events"),
)
_MEMORY: Final = "maxmemory"

_SAVING: Final = {
    "aof_last_bgrewrite_status": (
        "Redis could not rewrite its append-only file, which grows until its disk is full:"
        " make room, read its log, and send it BGREWRITEAOF"
    ),
    "rdb_last_bgsave_status": (
        "Redis could not save a snapshot, and may refuse writes until it can:"
        " make room, read its log, and send it BGSAVE"
    ),
}

_HIDDEN: Final = (
    "Redis does not show its settings: allow +config|get to this user. If the provider guarantees"
    " appendonly yes, appendfsync always and maxmemory-policy noeviction, set"
    " PAIDUP_REDIS_DURABILITY=trusted instead"
)


def durability_problems(client: redis.Redis, *, trusted: bool) -> tuple[str, ...]:
    """Return every problem that keeps Redis from holding acknowledged events safely.

    Raises:
        redis.RedisError: Redis cannot be asked.
    """
    info = _text_map(client.info())
    if _is_cluster(info):
        return (CLUSTER,)
    problems = _problems_in_info(info)
    return tuple(problems) if trusted else (*problems, *_problems_in_settings(client))


def saving_failures(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what Redis could not save beside its writes, by its INFO.

    Nothing is lost by it. But a file that is never rewritten fills its disk, and Redis may refuse
    all writes after a snapshot that failed.
    """
    return tuple(says for name, says in _SAVING.items() if str(info.get(name, "ok")) != "ok")


def refuse_cluster(client: redis.Redis) -> None:
    """Return if the server can hold the inbox.

    Raises:
        UnsupportedRedis: it is a node of a cluster.
        redis.RedisError: Redis cannot be asked.
    """
    if _is_cluster(_text_map(client.info())):
        raise UnsupportedRedis(CLUSTER)


def _is_cluster(info: Mapping[str, str]) -> bool:
    return info.get("cluster_enabled", "0") != "0" or info.get("redis_mode") == "cluster"


def _problems_in_info(info: Mapping[str, str]) -> Iterator[str]:
    if info.get("role", "master") != "master":
        yield "Redis is a replica: point REDIS_URL at the primary"
    if info.get("aof_last_write_status", "ok") != "ok":
        yield "Redis could not write its append-only file: free disk space and read its log"
    if info.get("loading", "0") != "0":
        yield "Redis is still loading its file: wait until it has finished"


def _problems_in_settings(client: redis.Redis) -> Iterator[str]:
    settings = _settings(client)
    if settings is None:
        yield _HIDDEN
        return
    for name, wanted, reason in _SETTINGS:
        found = settings.get(name, "unknown")
        if found != wanted:
            yield f"Redis: set {name} {wanted} (it is {found}): {reason}"
    if settings.get(_MEMORY, "0") == "0":
        yield (
            "Redis: set maxmemory to about 60 % of its machine's memory:"
            " otherwise the kernel kills it when memory runs out"
        )


def _settings(client: redis.Redis) -> Mapping[str, str] | None:
    """Return the answer of CONFIG GET; None if the server or its access rights refuse."""
    pipeline = client.pipeline(transaction=False)
    for name in (*(name for name, _, _ in _SETTINGS), _MEMORY):
        pipeline.config_get(name)
    try:
        answers: Any = pipeline.execute()
    except ResponseError:
        return None
    return {name: value for answer in answers for name, value in _text_map(answer).items()} or None


def _text_map(answer: Any) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in answer.items()}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
