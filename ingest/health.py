"""Probe Redis: reachability and memory each time, its durability every few seconds.

A Redis that was restarted or replaced has another ``run_id``. Its settings may differ, so they are
read at once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from runtime.telemetry import SharedState

_SETTINGS_SECONDS: Final = 5.0
_FULL_AT_PERCENT: Final = 80


class RedisHealth:
    """The probe of the circuit breaker. It caches the durability of one server for 5 s."""

    def __init__(
        self,
        *,
        info: Callable[[], Any],
        durability_problems: Callable[[], tuple[str, ...]],
        shared_state: Callable[[], SharedState],
        monotonic: Callable[[], float],
    ) -> None:
        self._info = info
        self._durability_problems = durability_problems
        self._shared_state = shared_state
        self._monotonic = monotonic
        self._run_id: str | None = None
        self._unsafe: tuple[str, ...] = ()
        self._read_at = float("-inf")
        self.state = SharedState()

    def __call__(self) -> tuple[str, ...]:
        """Return all reasons against accepting events now; raises if Redis cannot be asked."""
        self.state = SharedState()
        info: Mapping[str, Any] = self._info()
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
