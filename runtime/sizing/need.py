"""Compute how many worker processes are needed, from what Redis knows of the inbox. Pure.

    work = service time of an event * (events that arrive a second + backlog / seconds to clear it)

Work is the number of processes that are busy all the time. More are needed, because one that has
no rest cannot take a burst. There may be between as many as are busy ``MOST_BUSY`` of the time,
and as many as are busy ``LEAST_BUSY`` of it. The processes that run are the answer while they lie
between the two, so a load that varies a little changes nothing.

Only what more processes would settle sooner counts. Events that are parked or wait for Stripe's API
do not, nor does a backlog while PostgreSQL does not answer: it neither grows the number without end
nor resets it, since events go on arriving.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from statistics import fmean, median
from typing import Final

from runtime.inbox.entries import Backlog
from runtime.inbox.inbox import MAX_BYTES, MAX_EVENTS
from runtime.inbox.service_times import BatchTime
from runtime.time_limits import SETTLING_SECONDS, TARGET_AGE_SECONDS

MOST_BUSY: Final = 0.75
"""With less rest a load that doubles within three minutes outruns the start of more processes."""

LEAST_BUSY: Final = 0.55
"""It is so far below ``MOST_BUSY`` that the next change is a third of the load away."""

LONGEST_AGE: Final = 12 * TARGET_AGE_SECONDS
"""The age of the oldest due event above which its backlog is not cleared in a longer time."""

ASSUMED_RATE: Final = 200.0
"""Events per second that one process settles at least on a small machine, without a measurement."""

ENOUGH_BATCHES: Final = 12
"""Batches that tell a service time. The first ones of a process are slow."""

MOST_OF_USUAL: Final = 3.0
"""A batch counts at most as so many usual ones: a server that froze once says nothing of others."""

FRESH: Final = timedelta(minutes=10)
"""For how long a batch says what events take now, by itself."""

MOST_SAVED: Final = 10.0
"""An event of a full batch is believed to take at least this part of its time in batches that were
seen, because no full one was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The processes needed, and the events per second of each that the estimate assumes."""

    processes: int
    rate: float
    measured: bool


def estimate_need(inbox: Backlog) -> Need:
    """Return the processes that keep events younger than ``TARGET_AGE_SECONDS``, at least one.

    An empty inbox needs one, too: events will come.
    """
    measured = _service_time(_as_of(inbox.at, inbox.batch_times))
    each = measured or 1 / ASSUMED_RATE
    arriving, backlog = inbox.arriving or 0.0, _backlog_rate(inbox)
    fewest = _processes(each * (arriving / MOST_BUSY + backlog))
    most = _processes(each * (arriving / LEAST_BUSY + backlog))
    # Until it is known what arrives, none of those that run is known to be one too many.
    too_many = inbox.processes > most and inbox.arriving is not None
    return Need(
        processes=most if inbox.processes < fewest or too_many else inbox.processes,
        rate=1 / each,
        measured=measured is not None,
    )


def _processes(work: float) -> int:
    return max(1, ceil(round(work, 6)))


def _backlog_rate(inbox: Backlog) -> float:
    """Return the events per second by which to clear the backlog."""
    if inbox.breaker_open or _is_at_a_standstill(inbox):
        return 0.0
    return (inbox.due + inbox.claimed) / _seconds_to_clear(inbox.waiting_seconds)


def _seconds_to_clear(age: float) -> float:
    """Return the time that is left until the oldest event is too old.

    Once it is, half of its age: what has waited for an hour may wait for another minute, and to
    clear it at once would take all the processes that there can be.
    """
    return max(TARGET_AGE_SECONDS - age, min(age, LONGEST_AGE) / 2)


def _is_at_a_standstill(inbox: Backlog) -> bool:
    """Return True if workers hold events and have settled none for long.

    So it is while PostgreSQL has frozen and no time limit has ended yet. One event alone may be one
    that is slow, and does not show it.
    """
    if inbox.claimed <= 1 or inbox.settled_at is None:
        return False
    return (inbox.at - inbox.settled_at).total_seconds() > SETTLING_SECONDS


def _as_of(now: datetime, batches: Sequence[BatchTime]) -> Sequence[BatchTime]:
    """Let no old batch take longer than its events would now, in the batches that are fresh.

    A time of a slow server would count for ever otherwise: with the processes that it asks for,
    no batch becomes large enough to replace it.
    """
    fresh = [batch for batch in batches if _is_fresh(now, batch)]
    if len(fresh) < ENOUGH_BATCHES:
        return batches
    each = sum(batch.seconds for batch in fresh) / sum(batch.events for batch in fresh)
    return [
        batch
        if _is_fresh(now, batch)
        else replace(batch, seconds=min(batch.seconds, each * batch.events))
        for batch in batches
    ]


def _is_fresh(now: datetime, batch: BatchTime) -> bool:
    return batch.settled_at is None or now - batch.settled_at <= FRESH


def _service_time(batches: Sequence[BatchTime]) -> float | None:
    """Return the seconds per event of a full batch, by those of all sizes; None if there are few.

    A batch takes a part for itself and a part for each event. While a process has rest its batches
    are small, and would be smaller with more processes. So not their time per event tells what a
    process can do, but what is left of it in a full batch. Small and large ones tell the two parts.
    """
    if len(batches) < ENOUGH_BATCHES:
        return None
    # The newest come first. Of equal ones they are to be the last, among the large.
    oldest_first = batches[::-1]
    by_size = sorted(oldest_first, key=lambda batch: batch.events)
    third = len(by_size) // 3
    small, large = _usual(by_size[:third]), _usual(by_size[-third:])
    here = large.seconds / large.events
    each = here
    if large.events > small.events:
        each = max(large.seconds - small.seconds, 0) / (large.events - small.events)
    alone = large.seconds - each * large.events
    return min(max(alone / _events_of_a_full_batch(batches) + each, here / MOST_SAVED), here)


def _events_of_a_full_batch(batches: Sequence[BatchTime]) -> float:
    """Return how many events fill a batch; fewer if their bodies are large."""
    events = sum(batch.events for batch in batches)
    body_bytes = sum(batch.body_bytes for batch in batches)
    return max(min(MAX_EVENTS, MAX_BYTES * events / max(body_bytes, 1)), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _UsualBatch:
    events: float
    seconds: float


def _usual(batches: Sequence[BatchTime]) -> _UsualBatch:
    most = MOST_OF_USUAL * median(batch.seconds for batch in batches)
    return _UsualBatch(
        events=fmean(batch.events for batch in batches),
        seconds=fmean(min(batch.seconds, most) for batch in batches),
    )
