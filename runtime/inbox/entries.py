"""What goes into the inbox and comes out of it, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

VERSION: Final = 1
"""The entry format this code writes and reads; others wait for code that reads them."""


class Lane(StrEnum):
    """Which events are taken first, and which are drained apart."""

    LIVE = "live"
    REPLAY = "replay"
    FETCH = "fetch"


class InboxFull(Exception):
    """The inbox holds as many unsettled events as it may; Stripe keeps the others meanwhile."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"the inbox holds {limit} unsettled events; start more workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of a delivery.

    ``accepted``: it was new. ``duplicate``: known, and ``result`` is that of the first delivery,
    None while that is pending. ``conflict``: another event under a known id, kept apart.
    """

    status: Literal["accepted", "duplicate", "conflict"]
    wake: str | None
    """The registration of a drainer that whoever reads this now owes a wake-up."""
    result: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event as a claim hands it out, with what went wrong with it before."""

    key: str
    body: bytes = field(repr=False)
    received_at: datetime
    lane: Lane
    origin: str
    attempts: int
    """How often it failed and was charged for it; the claim at hand does not count."""
    crashes: int
    """How often its claim ended without a word while it was alone in it."""
    first_failed_at: datetime | None
    last_failed_at: datetime | None
    last_error: str | None
    version: int
    extra: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The events that are one owner's until its lease ends; none if nothing was due."""

    token: str
    entries: tuple[Entry, ...]
    alone: bool
    """One event, so that a crash now is this event's doing."""
    wake: str | None
    """One more wake-up is owed: there is more than this owner can take."""
    refused: bool
    """The breaker is open: there may be events, but nobody gets any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An event that is settled in the database, with the result that duplicates are told."""

    key: str
    fingerprint: str
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """An event that waits for Stripe's API; what of it is settled already has its result."""

    key: str
    settled: Finished | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """An event that is due again later, in its lane or in another one."""

    key: str
    delay_seconds: float
    charged: bool
    error: str
    lane: Lane | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """How many events a ``finish`` took out of the inbox, and what it learned."""

    events: int
    rewound: bool
    """The database forgot settlements that Redis remembers: done markers are not to be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What a sweep found and put right."""

    wakes: tuple[str, ...]
    """Registrations that the sweeper now owes a wake-up each."""
    reclaimed: int
    """Events of owners that fell silent; they are due again."""
    crashed: int
    """Those of them that were alone, and were charged with a crash."""
    healed: int
    """Things a broken script or a strange hand had left inconsistent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Why nothing is dispatched, and until when if nobody closes it earlier."""

    reason: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The inbox at one moment, on Redis' clock."""

    at: datetime
    events: int
    """Everything accepted and not settled: due, parked and claimed."""
    oldest_seconds: float
    due: int
    """What any worker could take now; what waits for Stripe's API is not among it."""
    waiting_seconds: float
    """How long the oldest due event has waited that anybody could take; 0 if there is none."""
    parked: int
    claimed: int
    by_lane: Mapping[Lane, int]
    drainers: int
    workers: int
    """Announced supervisors."""
    processes: int
    """Announced worker processes."""
    unknown_version: int
    conflicts: int
    settlement: int
    breaker: Breaker | None
    counters: Mapping[str, int]
    """Running totals: accepted, readmitted, claimed, finished, discarded, parked, reclaimed, ..."""
    fetch_due: int = 0
    """What waits for nothing but its turn to ask Stripe's API."""
    fetch_breaker: Breaker | None = None
    """Why Stripe's API is not asked."""

    @property
    def breaker_open(self) -> bool:
        """Whether nothing is dispatched."""
        return self.breaker is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """One event as an operator sees it, wherever it is."""

    key: str
    state: Literal["absent", "waiting", "claimed", "apart"]
    """``apart``: the second body under an id that is another event's."""
    lane: Lane
    received_at: datetime | None
    due_at: datetime | None
    header: Mapping[str, Any]
    history: Mapping[str, Any]
    body: bytes = field(repr=False)
