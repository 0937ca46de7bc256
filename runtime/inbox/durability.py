"""Whether what Redis acknowledges survives a power cut and a full memory.

Each problem is a sentence that says what to set. A managed server may hide its settings; then the
operator vouches for them with ``PAIDUP_REDIS_DURABILITY=trusted``, and only what INFO says counts.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import redis
from redis.exceptions import ResponseError

_SETTINGS: Final = (
    ("appendonly", "yes", "without it a restart forgets every acknowledged event"),
    ("appendfsync", "always", "otherwise a power cut forgets the last acknowledged events"),
    ("no-appendfsync-on-rewrite", "no", "otherwise nothing is synced during a rewrite"),
    ("maxmemory-policy", "noeviction", "otherwise acknowledged events are thrown away when full"),
)
_MEMORY: Final = "maxmemory"

_HIDDEN: Final = (
    "Redis does not show its settings: allow +config|get to this user, or set"
    " PAIDUP_REDIS_DURABILITY=trusted if whoever runs it vouches for appendonly yes,"
    " appendfsync always and maxmemory-policy noeviction"
)


def durability_problems(client: redis.Redis, *, trusted: bool) -> tuple[str, ...]:
    """Everything to set before Redis may hold acknowledged events; raises if unreached."""
    told = _problems_told(_text_map(client.info()))
    return tuple(told) if trusted else (*told, *_problems_set(client))


def run_id(client: redis.Redis) -> str:
    """Names this run of the server; another one means that everything must be checked anew."""
    return _text_map(client.info("server"))["run_id"]


def _problems_told(info: Mapping[str, str]) -> Iterator[str]:
    if info.get("role", "master") != "master":
        yield "Redis is a replica: point REDIS_URL at the primary"
    if info.get("aof_last_write_status", "ok") != "ok":
        yield "Redis could not write its append-only file: free its disk and look at its log"
    if info.get("loading", "0") != "0":
        yield "Redis is still reading its file: wait until it has"


def _problems_set(client: redis.Redis) -> Iterator[str]:
    settings = _settings(client)
    if settings is None:
        yield _HIDDEN
        return
    for name, wanted, reason in _SETTINGS:
        found = settings.get(name, "not told")
        if found != wanted:
            yield f"Redis: set {name} {wanted} (it is {found}): {reason}"
    if settings.get(_MEMORY, "0") == "0":
        yield (
            "Redis: set maxmemory, to some 60 % of its machine's memory:"
            " otherwise the system kills it when memory runs out"
        )


def _settings(client: redis.Redis) -> Mapping[str, str] | None:
    """What CONFIG GET tells; None where the server or its rights refuse."""
    asked = client.pipeline(transaction=False)
    for name in (*(name for name, _, _ in _SETTINGS), _MEMORY):
        asked.config_get(name)
    try:
        answers: Any = asked.execute()
    except ResponseError:
        return None
    told = {name: value for answer in answers for name, value in _text_map(answer).items()}
    return told or None


def _text_map(answer: Any) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in answer.items()}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
