"""Interfaces with several methods that workers use; unit tests implement them with fakes.

An interface of one function is a callable type in the module that calls it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from runtime.failures.ports import ConflictInbox
from runtime.inbox.entries import Breaker, Claim, Closed, Deferred, Finished, Parked, Sweep
from runtime.inbox.fetch_lane import Deferral
from runtime.inbox.service_times import BatchTime


class ClaimQueue(Protocol):
    """The part of the inbox that a drainer claims from: all lanes but one, or the fetch lane."""

    def claim(self, token: str, *, wake: str | None) -> Claim: ...

    def leave(self, token: str, *, hand_on: bool) -> str | None: ...


class ClaimedEvents(Protocol):
    """The inbox, for the holder of a claim."""

    def heartbeat(self, token: str) -> bool: ...

    def finish(
        self, token: str, finished: Sequence[Finished], took: BatchTime | None = None
    ) -> Closed: ...

    def park(self, token: str, parked: Sequence[Parked]) -> int: ...

    def discard(self, token: str, keys: Sequence[str]) -> Closed: ...

    def release(self, token: str) -> int: ...

    def suspect(self, token: str, keys: Sequence[str]) -> int: ...

    def set_apart(self, token: str, keys: Sequence[str]) -> int: ...

    def open_breaker(self, reason: str, seconds: float) -> None: ...


class DeferralQueue(Protocol):
    """The fetch lane, for a drainer that moves events into it."""

    def defer(self, token: str, deferred: Sequence[Deferred]) -> Deferral: ...

    def leave(self, token: str, *, hand_on: bool) -> str | None: ...


class ApiHealth(Protocol):
    """The record, shared by all workers, of how Stripe's API responds."""

    def succeeded(self) -> None: ...

    def failed(self, reason: str) -> bool:
        """Return True if this failure opened the breaker."""
        ...

    def pause(self, reason: str, seconds: float) -> bool:
        """Return True if this call opened the breaker."""
        ...

    def succeeded_at(self) -> datetime | None: ...


class SweepInbox(Protocol):
    """The inbox, for the sweeper."""

    def sweep(self, *, max_wakes: int) -> Sweep: ...

    def release_orphan(self, token: str) -> Sweep: ...

    def unregister(self, token: str) -> None: ...

    def breaker_open(self) -> bool: ...


class BreakerInbox(Protocol):
    """The inbox, for the probe of PostgreSQL."""

    def breaker(self) -> Breaker | None: ...

    def breaker_open(self) -> bool: ...

    def open_breaker(self, reason: str, seconds: float) -> None: ...

    def close_breaker(self) -> None: ...


class ConflictQueue(ConflictInbox, Protocol):
    """The inbox, for the job that moves conflicts."""

    def breaker_open(self) -> bool: ...
