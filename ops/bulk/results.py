"""The status of each event of a replay, an import or their preview."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class ReplayStatus(StrEnum):
    """The status of one event; the values are shown to the operator."""

    APPLIED = "applied"
    ALREADY_APPLIED = "already applied"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"
    FAILED = "failed again"
    ALREADY_SETTLED = "already settled"
    """It came from a file and is settled in this database already."""
    EXCLUDED = "excluded"
    """It came from a file, and an operator discarded it, here or in the source database."""
    RESOLVED_ELSEWHERE = "resolved elsewhere"
    CHANGED = "changed meanwhile"
    """It is not what it was when the plan was made, and is left alone."""
    DISCARDED = "discarded"
    QUEUED = "queued"
    ALREADY_QUEUED = "already queued"
    """Another operator's replay of it is queued, or was settled just now."""
    PENDING = "pending"
    """A delivery from Stripe is in the inbox; a replay has to come after it."""
    LOCKED = "locked"
    """Another transaction holds its dead letter at this moment."""
    IN_PROGRESS = "in progress"
    LOST = "lost"
    NOT_TRIED = "not tried"
    NOT_STARTED = "not started"


DONE: Final = frozenset(
    {
        ReplayStatus.APPLIED,
        ReplayStatus.ALREADY_APPLIED,
        ReplayStatus.SUPERSEDED,
        ReplayStatus.IGNORED,
        ReplayStatus.ALREADY_SETTLED,
        ReplayStatus.EXCLUDED,
        ReplayStatus.RESOLVED_ELSEWHERE,
        ReplayStatus.CHANGED,
        ReplayStatus.DISCARDED,
        ReplayStatus.QUEUED,
    }
)
"""Statuses that leave nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """One event, its status, and details for the operator; ``key`` is its key in the inbox."""

    key: str
    status: ReplayStatus
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class ReplayResults:
    """The results of many events: all are counted, and those to be listed are kept."""

    counts: Counter[ReplayStatus] = field(default_factory=Counter)
    listed: dict[str, ReplayResult] = field(default_factory=dict)
    unlisted: frozenset[ReplayStatus] = frozenset()
    """Statuses that are only counted."""
    limit: float = float("inf")
    """The most results that are kept."""

    def add(self, result: ReplayResult) -> None:
        """Count the result of one event, and keep it if it is to be listed."""
        self.counts[result.status] += 1
        if result.status not in self.unlisted and len(self.listed) < self.limit:
            self.listed[result.key] = result

    def record(self, key: str, status: ReplayStatus, detail: str = "") -> None:
        """Add the status of one event."""
        self.add(ReplayResult(key=key, status=status, detail=detail))

    @property
    def all_done(self) -> bool:
        """True if no event needs another attempt."""
        return self.counts.keys() <= DONE
