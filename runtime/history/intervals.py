"""The history as values: intervals, with what ingest, the workers and the inbox were in each.

A part is None where no process reported it. That is a gap, and not zero: the process was down, or
Redis was away or full.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from runtime.history.distribution import Distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestCounts:
    """The answers of ingest in one interval."""

    observed_seconds: int
    """The part of the interval for which a process of ingest reported."""
    accepted: int
    duplicate: int
    invalid: int
    refused: int
    seconds: Distribution
    """Of the answers 2xx, from a complete request."""

    @property
    def by_class(self) -> Mapping[str, int]:
        """The answers by the class of their status."""
        return {
            "2xx": self.accepted + self.duplicate,
            "4xx": self.invalid,
            "5xx": self.refused,
        }

    @property
    def accepted_per_second(self) -> float:
        """Events that were new."""
        return self.accepted / self.observed_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCounts:
    """The events that workers settled in one interval."""

    observed_seconds: int
    """The part of the interval for which a worker reported."""
    by_outcome: Mapping[str, int]
    lag: Distribution
    """Seconds from accepted to applied."""

    @property
    def settled(self) -> int:
        """All of them."""
        return sum(self.by_outcome.values())

    @property
    def settled_per_second(self) -> float:
        """Events settled, of any outcome."""
        return self.settled / self.observed_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxLevels:
    """The highest numbers of one interval, by the supervisor that led."""

    backlog: int
    oldest_due_seconds: float
    """Age of the oldest event that any worker could take; 0 if there was none."""
    dead_letters: int | None
    """Open ones; None while PostgreSQL was not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One interval; each part is None where it is unknown."""

    start: datetime
    seconds: int
    ingest: IngestCounts | None
    workers: WorkerCounts | None
    inbox: InboxLevels | None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All intervals of a span without an omission, oldest first."""

    intervals: tuple[Interval, ...]
