"""Move events into and out of the fetch lane, where they wait for Stripe's API.

The lane has its own breaker, its own limit (over all workers together) and its own wake-ups. A
slow API therefore delays no claim in another lane. One script moves an event from lane to lane, so
an event is always in exactly one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis

from runtime.inbox import encoding
from runtime.inbox.entries import VERSION, Claim, Deferred
from runtime.inbox.inbox import MAX_BYTES, Inbox, new_token
from runtime.inbox.scripts import Scripts
from runtime.time_limits import (
    LEASE,
    MARKER,
    MAX_FETCH_REST,
    MIN_LIMITED_REST,
    REGISTRATION,
    UNKNOWN_VERSION,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """The number of events that moved, and the wake-up owed for them."""

    events: int
    wake: str | None


class FetchLane:
    """The lane as one process uses it; ``at_once`` workers may ask the API at once."""

    def __init__(self, client: redis.Redis, *, at_once: int, prefix: str = "paidup:") -> None:
        self._client = client
        self._scripts = Scripts(client, prefix)
        self._at_once = at_once

    @classmethod
    def beside(cls, inbox: Inbox, *, at_once: int) -> "FetchLane":
        """Return the lane of the same inbox, over the same connections."""
        return cls(inbox.client, at_once=at_once)

    def defer(self, token: str, deferred: Sequence[Deferred]) -> Deferral:
        """Move events that this owner holds into the lane, and store results of settled ones."""
        pairs = [
            (each.key, encoding.write_marker(each.settled) if each.settled else "")
            for each in deferred
        ]
        events, wake = self._scripts.run(
            "defer",
            *(token, _ms(MARKER), self._at_once, new_token()),
            *(word for pair in pairs for word in pair),
        )
        return Deferral(events=events, wake=_word(wake))

    def claim(self, token: str, *, wake: str | None) -> Claim:
        """Claim one due event; none if the breaker is open or ``at_once`` workers ask already."""
        refused, owed, *rows = self._scripts.run(
            "fetch",
            *(token, wake or "", new_token(), 1, MAX_BYTES),
            *(_ms(LEASE), _ms(REGISTRATION), VERSION, _ms(UNKNOWN_VERSION), self._at_once),
        )
        entries = tuple(encoding.read_entries(rows))
        return Claim(
            token=token, entries=entries, alone=True, wake=_word(owed), refused=bool(refused)
        )

    def leave(self, token: str, *, hand_on: bool) -> str | None:
        """End a registration; with ``hand_on``, return the wake-up owed for the rest."""
        further = new_token() if hand_on else ""
        return _word(self._scripts.run("fetch_leave", token, self._at_once, further))

    def wake(self) -> str | None:
        """Return the wake-up owed if events wait and no worker is coming for them."""
        return _word(self._scripts.run("fetch_wake", self._at_once, new_token()))

    def succeeded(self) -> None:
        """Close the breaker and reset the failure count, because the API answered."""
        self._scripts.run("fetch_health", "ok", "", 0)

    def failed(self, reason: str) -> bool:
        """Count a request without an answer; True if that opened the breaker.

        The third failure in a row opens it for five seconds. Each further one doubles that time.
        """
        return bool(self._scripts.run("fetch_health", "failed", encoding.error_text(reason), 0))

    def pause(self, reason: str, seconds: float) -> bool:
        """Open the breaker for ``seconds``; True if it was closed before."""
        pause = max(min(timedelta(seconds=seconds), MAX_FETCH_REST), MIN_LIMITED_REST)
        answer = self._scripts.run("fetch_health", "rest", encoding.error_text(reason), _ms(pause))
        return bool(answer)

    def succeeded_at(self) -> datetime | None:
        """Return the time of the API's last answer, on Redis' clock; None if there was none."""
        return self._health_time("succeeded_at")

    def asked_at(self) -> datetime | None:
        """Return the time of the last claim in this lane; None if there was none."""
        return self._health_time("asked_at")

    def _health_time(self, name: str) -> datetime | None:
        at: Any = self._client.hget(f"{self._scripts.prefix}fetch:health", name)
        return encoding.read_time(at) if at else None


def _word(token: bytes) -> str | None:
    return token.decode() or None


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
