"""The lane of events that Stripe's API has to be asked about, for those who put in and take out.

It has its own breaker, its own limit (over all workers together) and its own wake-ups, so that
however slow the API is, no claim of another lane ever waits for it. An event is in it or in
another lane, and moves within one script: it is never in no place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import redis

from runtime.inbox import encoding as codec
from runtime.inbox.entries import VERSION, Claim, Deferred
from runtime.inbox.inbox import (
    LEASE,
    MARKER,
    MAX_BYTES,
    REGISTRATION,
    UNKNOWN_VERSION,
    Inbox,
    new_token,
)
from runtime.inbox.scripts import Scripts

LONGEST_REST: Final = timedelta(minutes=5)
"""Whatever Stripe asks for; then one event is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """How many events moved, and the wake-up that is owed for them."""

    events: int
    wake: str | None


class FetchLane:
    """One process' door to the lane; ``at_once`` is how many may ask at the same time."""

    def __init__(self, client: redis.Redis, *, at_once: int, prefix: str = "paidup:") -> None:
        self._client = client
        self._scripts = Scripts(client, prefix)
        self._at_once = at_once

    @classmethod
    def beside(cls, inbox: Inbox, *, at_once: int) -> "FetchLane":
        """The lane of the same inbox, over the same connections."""
        return cls(inbox.client, at_once=at_once)

    def defer(self, token: str, deferred: Sequence[Deferred]) -> Deferral:
        """Move events that this owner holds into the lane, settled ones with their result."""
        pairs = [
            (each.key, codec.marker(each.settled) if each.settled else "") for each in deferred
        ]
        events, wake = self._scripts.run(
            "defer",
            *(token, _ms(MARKER), self._at_once, new_token()),
            *(word for pair in pairs for word in pair),
        )
        return Deferral(events=events, wake=_word(wake))

    def claim(self, token: str, *, wake: str | None) -> Claim:
        """Take one event whose turn it is; none while the breaker is open or enough others ask."""
        refused, owed, *rows = self._scripts.run(
            "fetch",
            *(token, wake or "", new_token(), 1, MAX_BYTES),
            *(_ms(LEASE), _ms(REGISTRATION), VERSION, _ms(UNKNOWN_VERSION), self._at_once),
        )
        entries = tuple(codec.entries(rows))
        return Claim(
            token=token, entries=entries, alone=True, wake=_word(owed), refused=bool(refused)
        )

    def leave(self, token: str, *, hand_on: bool) -> str | None:
        """End a registration; if it hands on, the wake-up that is owed for what is left."""
        further = new_token() if hand_on else ""
        return _word(self._scripts.run("fetch_leave", token, self._at_once, further))

    def wake(self) -> str | None:
        """The wake-up that is owed because events wait and nobody comes, if one is."""
        return _word(self._scripts.run("fetch_wake", self._at_once, new_token()))

    def succeeded(self) -> None:
        """The API answered: close the breaker, and forget what failed before."""
        self._scripts.run("fetch_health", "ok", "", 0)

    def failed(self, reason: str) -> bool:
        """The API did not answer; says whether that opened the breaker.

        The third time in a row does, for five seconds. Each further time doubles that.
        """
        return bool(self._scripts.run("fetch_health", "failed", codec.error_text(reason), 0))

    def rest(self, reason: str, seconds: float) -> bool:
        """Ask nothing for so long; says whether that opened the breaker."""
        pause = max(min(timedelta(seconds=seconds), LONGEST_REST), timedelta(seconds=1))
        answer = self._scripts.run("fetch_health", "rest", codec.error_text(reason), _ms(pause))
        return bool(answer)

    def succeeded_at(self) -> datetime | None:
        """When the API answered last, by Redis' clock; None if it never did."""
        return self._noted("succeeded_at")

    def asked_at(self) -> datetime | None:
        """When anybody last came for an event of this lane; None if nobody ever did."""
        return self._noted("asked_at")

    def _noted(self, name: str) -> datetime | None:
        at: Any = self._client.hget(f"{self._scripts.prefix}fetch:health", name)
        return codec.moment(at) if at else None


def _word(token: bytes) -> str | None:
    return token.decode() or None


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
