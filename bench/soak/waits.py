"""The longest waits of events that had nothing to do with a fault."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultInterval:
    """One fault, in seconds of the epoch.

    ``up_at`` is the moment from which every server that an event needs was up: the beginning of the
    fault if it left them alone.
    """

    kind: str
    began_at: float
    up_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTimes:
    """The first 2xx for an event, and the COMMIT of the transaction that settled it."""

    event_id: str
    taken_at: float
    applied_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LongestWait:
    """The longest wait of any event during the faults of one kind."""

    seconds: float
    event_id: str
    taken_at: float = 0.0


def longest_waits(
    faults: Sequence[FaultInterval], events: Iterable[EventTimes]
) -> Mapping[str, LongestWait]:
    """Return, for each kind of fault, how long an event waited while its servers were up.

    ``faults`` are in the order in which they began. An event belongs to the newest fault that had
    begun when half of its wait was over: the next fault begins only after the flow went on, so
    most of a long wait lies behind the beginning of its cause. Time in which a server was down does
    not count, and time before the next fault does: a later outage must not hide an earlier wait.
    """
    longest = {fault.kind: LongestWait(seconds=0.0, event_id="") for fault in faults}
    began = [fault.began_at for fault in faults]
    for event in events:
        number = bisect_right(began, (event.taken_at + event.applied_at) / 2)
        if number == 0:
            continue
        fault = faults[number - 1]
        first = max(bisect_right(began, event.taken_at) - 1, 0)
        last = bisect_right(began, event.applied_at)
        seconds = event.applied_at - event.taken_at - _down(faults[first:last], event)
        if seconds > longest[fault.kind].seconds:
            longest[fault.kind] = LongestWait(
                seconds=seconds, event_id=event.event_id, taken_at=event.taken_at
            )
    return longest


def _down(faults: Sequence[FaultInterval], event: EventTimes) -> float:
    """Return the seconds of the event's wait in which a server was down."""
    return sum(
        max(min(fault.up_at, event.applied_at) - max(fault.began_at, event.taken_at), 0.0)
        for fault in faults
    )
