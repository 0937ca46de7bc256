"""The service times of each part, in seconds, from which a simulation is computed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from runtime.inbox.inbox import MAX_BYTES, MAX_EVENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCost:
    """The time that one batch takes of each part."""

    events: float
    worker: float
    """Processor time of the worker process."""
    postgresql: float
    """Processor time of its backend."""
    redis: float
    """Processor time of Redis, for the claim and the end of the batch."""
    round_trips: float
    """Questions to PostgreSQL that are answered before the next one is asked."""


_COSTS: Final = ("worker", "postgresql", "redis", "round_trips")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTimes:
    """All times that were measured on one machine."""

    ingest: float
    """Processor time of ingest for an event."""
    accept_call: float
    """Processor time of Redis for a call of the accept script, without its events."""
    accept_event: float
    """The same for each event of the call."""
    redis_flush: float
    """Seconds until a flush of the append-only file has reached the disk."""
    commit_flush: float
    """The same for the log of PostgreSQL."""
    wake: float
    """Seconds from a wake-up until the process claims."""
    body_bytes: float
    """The mean size of a body."""
    batches: tuple[BatchCost, ...]
    """Costs by the number of events, ascending; between two of them a line is assumed."""

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """Return the times that ``stored_times`` wrote."""
        return cls(**{**stored, "batches": tuple(BatchCost(**each) for each in stored["batches"])})

    def stored_times(self) -> dict[str, Any]:
        """Return the times as JSON."""
        return asdict(self)

    @property
    def most_events(self) -> int:
        """The events of a full batch."""
        return max(1, min(MAX_EVENTS, int(MAX_BYTES // self.body_bytes)))

    def batch(self, events: int) -> BatchCost:
        """Return the cost of a batch of so many events, which is at least the smallest measured."""
        lower, upper = _around(self.batches, events)
        if lower is upper:
            return lower
        share = (events - lower.events) / (upper.events - lower.events)
        values = {
            name: getattr(lower, name) + share * (getattr(upper, name) - getattr(lower, name))
            for name in _COSTS
        }
        return BatchCost(events=events, **values)


def _around(batches: Sequence[BatchCost], events: int) -> tuple[BatchCost, BatchCost]:
    if events <= batches[0].events:
        return batches[0], batches[0]
    if events >= batches[-1].events:
        return batches[-1], batches[-1]
    upper = next(place for place, each in enumerate(batches) if each.events >= events)
    return batches[upper - 1], batches[upper]
