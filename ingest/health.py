"""What a probe looks at: reach and memory each time, the durable settings every few seconds.

A Redis that was restarted or replaced is another server with another ``run_id``; what was true
of the last one says nothing, so its settings are read at once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from runtime.telemetry import SharedState

_SETTINGS_SECONDS: Final = 5.0
_FULL_AT_PERCENT: Final = 80


class AnswersInfo(Protocol):
    """The part of a Redis client that is asked."""

    def info(self) -> Any:
        """The server's INFO as a mapping."""
        ...


class RedisHealth:
    """A probe for the gate; remembers when it last read the settings, and of which server."""

    def __init__(
        self,
        redis: AnswersInfo,
        *,
        durability_problems: Callable[[], tuple[str, ...]],
        shared_state: Callable[[], SharedState],
        monotonic: Callable[[], float],
    ) -> None:
        self._redis = redis
        self._durability_problems = durability_problems
        self._shared_state = shared_state
        self._monotonic = monotonic
        self._run_id: str | None = None
        self._unsafe: tuple[str, ...] = ()
        self._read_at = float("-inf")
        self.state = SharedState()

    def __call__(self) -> tuple[str, ...]:
        """Every reason against taking events now; raises when Redis cannot be asked."""
        self.state = SharedState()
        info: Mapping[str, Any] = self._redis.info()
        self._read_settings(str(info.get("run_id")))
        self.state = self._shared_state()
        return (*self._unsafe, *_fullness(info))

    def _read_settings(self, run_id: str) -> None:
        now = self._monotonic()
        if run_id != self._run_id or self._unsafe or now - self._read_at >= _SETTINGS_SECONDS:
            self._unsafe = self._durability_problems()
            self._run_id, self._read_at = run_id, now


def _fullness(info: Mapping[str, Any]) -> tuple[str, ...]:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used * 100 > most * _FULL_AT_PERCENT:
        return (f"Redis uses more than {_FULL_AT_PERCENT} % of its maxmemory",)
    return ()
