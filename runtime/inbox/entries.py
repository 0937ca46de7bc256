"""The values that go into the inbox and come out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from runtime.inbox.service_times import BatchTime

VERSION: Final = 1
"""The entry format that this code writes and reads. Entries of a newer format wait."""


class Lane(StrEnum):
    """A group of events: live comes before replay, and fetch is claimed separately."""

    LIVE = "live"
    REPLAY = "replay"
    FETCH = "fetch"


class InboxFull(Exception):
    """The inbox holds as many unsettled events as it may; Stripe keeps new ones meanwhile."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"the inbox holds {limit} unsettled events; start more workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The outcome of one delivery.

    ``accepted``: the event is new. ``duplicate``: it is known, and ``result`` is the result of the
    first delivery, or None while that is pending. ``conflict``: the id belongs to another event,
    and this one is stored separately.
    """

    status: Literal["accepted", "duplicate", "conflict"]
    wake: str | None
    """The drainer registration for which the caller must publish a wake-up, if any."""
    result: Mapping[str, Any] | None
    lost: "LostAccepts | None" = None
    """Accepts that this call showed to be lost: Redis counts fewer than it gave numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostAccepts:
    """Accepts that Redis forgot when it went back, by their numbers."""

    inbox_epoch: str
    """The epoch that ended; each loss has one of its own."""
    noticed_at: datetime
    first: int
    """0 if it is unknown: every accept of that epoch that was not settled is lost."""
    last: int
    """The highest number that a process remembers; later accepts may be lost as well."""
    open: bool = True
    """False once an operator has closed the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEntry:
    """One claimed event, with the history of its failures."""

    key: str
    body: bytes = field(repr=False)
    received_at: datetime
    lane: Lane
    origin: str
    attempts: int
    """Failed attempts that were charged to it; the current claim does not count."""
    crashes: int
    """Claims that ended without a word while it was the only event in them."""
    first_failed_at: datetime | None
    last_failed_at: datetime | None
    last_error: str | None
    version: int
    extra: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The events that one owner holds until its lease ends; empty if nothing was due."""

    token: str
    entries: tuple[InboxEntry, ...]
    alone: bool
    """True if it holds one event, so that a crash now is caused by this event."""
    wake: str | None
    """The registration of one more wake-up: there is more than this owner can take."""
    refused: bool
    """True if the breaker is open. Events may be due, but none can be claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An event that is settled in the database, with the result for its duplicates."""

    key: str
    event_id: str
    fingerprint: str
    settlement: int
    """The number of its row."""
    database_epoch: str
    """The epoch of the database that the transaction read; its done marker is valid with it."""
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """An event that waits for Stripe's API; ``settled`` is the result of its settled part."""

    key: str
    settled: Finished | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """An event that becomes due again later, in its own lane or in another one."""

    key: str
    delay_seconds: float
    charged: bool
    error: str
    lane: Lane | None = None
    rest_seconds: float = 0.0
    """The other events of its partition wait for so long. The first of them is then tried alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The number of events that ``finish`` took out of the inbox."""

    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The findings and repairs of one sweep."""

    wakes: tuple[str, ...]
    """Registrations for each of which the sweeper must publish a wake-up."""
    reclaimed: int
    """Events of owners whose lease ran out; they are due again."""
    crashed: int
    """Reclaimed events that were alone in their claim and were charged with a crash."""
    healed: int
    """Inconsistencies that a broken script or another program had left."""
    clamped: int = 0
    """Events that were due or accepted in the future, because Redis' clock stepped back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The reason for the stop of dispatch, and its end unless it is closed earlier."""

    reason: str
    until: datetime
    since: datetime | None = None
    """Known for PostgreSQL's breaker: events have waited for the server since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The inbox at one moment, on Redis' clock."""

    at: datetime
    events: int
    """All accepted and unsettled events: due, parked and claimed."""
    oldest_seconds: float
    due: int
    """Events that any worker could take now; those that wait for Stripe's API do not count."""
    waiting_seconds: float
    """Age of the oldest event that any worker could take; 0 if there is none."""
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
    breaker: Breaker | None
    counters: Mapping[str, int]
    """Running totals by name: accepted, claimed, finished, discarded, parked, reclaimed, ..."""
    fetch_due: int = 0
    """Events that wait only for their turn to ask Stripe's API."""
    fetch_breaker: Breaker | None = None
    """Set while Stripe's API is not asked."""
    arriving: float | None = None
    """Events that came in a second within the last seconds; None if that was not noted."""
    settled_at: datetime | None = None
    """When workers settled an event last."""
    batch_times: tuple[BatchTime, ...] = ()
    """The last batches of each class of sizes."""

    @property
    def breaker_open(self) -> bool:
        """True while nothing is dispatched."""
        return self.breaker is not None

    @property
    def breaker_seconds(self) -> float:
        """Return for how long nothing has been dispatched, 0 while something is."""
        if self.breaker is None or self.breaker.since is None:
            return 0.0
        return max((self.at - self.breaker.since).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeekedEvent:
    """One event as it is in Redis, read without claiming it."""

    key: str
    state: Literal["absent", "waiting", "claimed", "conflict"]
    """``conflict``: the body of another event under an id that is taken."""
    lane: Lane
    received_at: datetime | None
    due_at: datetime | None
    header: Mapping[str, Any]
    history: Mapping[str, Any]
    body: bytes = field(repr=False)
