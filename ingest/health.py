"""Probe Redis: reachability and memory each time, its durability every few seconds.

A Redis that was restarted or replaced has another ``run_id``. Its settings may differ, so they are
read at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from redis.exceptions import RedisError

from runtime.error_text import describe
from runtime.inbox.durability import saving_failures
from runtime.inbox.replicas import TooFewReplicas
from runtime.inbox.room import FULL_AT_PERCENT
from runtime.telemetry import SharedState
from runtime.time_limits import REDIS_SETTINGS_SECONDS


class RedisHealth:
    """The probe of the circuit breaker. It caches the durability of one server for 5 s."""

    def __init__(
        self,
        *,
        info: Callable[[], Any],
        durability_problems: Callable[[], tuple[str, ...]],
        shared_state: Callable[[], SharedState],
        monotonic: Callable[[], float],
        reconnect: Callable[[], None] = lambda: None,
        last_known: Callable[[], SharedState] = SharedState,
        confirm_replicas: Callable[[], int] | None = None,
    ) -> None:
        """Call ``reconnect`` where a replica answers; ``confirm_replicas`` raises if one lags.

        ``last_known`` returns the state of which Redis need not be asked.
        """
        self._info = info
        self._durability_problems = durability_problems
        self._shared_state = shared_state
        self._monotonic = monotonic
        self._reconnect = reconnect
        self._last_known = last_known
        self._confirm_replicas = confirm_replicas
        self._server: tuple[str, str] | None = None
        self._unsafe: tuple[str, ...] = ()
        self._read_at = float("-inf")
        self.state = SharedState()

    def __call__(self) -> tuple[str, ...]:
        """Return all reasons against accepting events now; raises if Redis cannot be asked."""
        try:
            reasons, state = self._probe()
        except BaseException:
            self.state = replace(self._last_known(), refusals=1)
            raise
        self.state = replace(state, refusals=len(reasons))
        return reasons

    def _probe(self) -> tuple[tuple[str, ...], SharedState]:
        info: Mapping[str, Any] = self._info()
        role = str(info.get("role", "master"))
        self._read_settings((str(info.get("run_id")), role))
        unsafe = (*self._unsafe, *saving_failures(info))
        if role != "master":
            # The old primary, which lives on. The next probe may reach the new one.
            self._reconnect()
            return self._unsafe, replace(self._last_known(), redis_unsafe=len(unsafe))
        try:
            state = replace(self._shared_state(), redis_unsafe=len(unsafe))
        except RedisError as error:
            if not unsafe:
                raise
            # What is unsafe explains why the rest fails: a cluster, for example.
            known = replace(self._last_known(), redis_unsafe=len(unsafe))
            return (*unsafe, f"Redis: {describe(error)}"), known
        if self._confirm_replicas is None:
            return (*self._unsafe, *_fullness(info)), state
        behind, confirmed = _confirmed(self._confirm_replicas)
        reasons = (*self._unsafe, *_fullness(info), *behind)
        return reasons, replace(state, redis_replicas=confirmed)

    def _read_settings(self, server: tuple[str, str]) -> None:
        """Ask at once where another server answers, or the same one in another role."""
        now = self._monotonic()
        if server != self._server or self._unsafe or now - self._read_at >= REDIS_SETTINGS_SECONDS:
            self._unsafe = self._durability_problems()
            self._server, self._read_at = server, now


def _confirmed(confirm_replicas: Callable[[], int]) -> tuple[tuple[str, ...], int]:
    try:
        return (), confirm_replicas()
    except TooFewReplicas as behind:
        return (f"Redis: {behind}",), behind.confirmed


def _fullness(info: Mapping[str, Any]) -> tuple[str, ...]:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used * 100 > most * FULL_AT_PERCENT:
        return (f"Redis uses more than {FULL_AT_PERCENT} % of its maxmemory",)
    return ()
