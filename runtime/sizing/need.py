"""Estimate the worker processes that a backlog needs. Pure.

The speed of a process is measured where possible. While any process could claim a waiting event,
all of them are busy, so the events settled meanwhile show their full speed.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

TARGET_SECONDS: Final = 60.0
"""A backlog should be cleared in this time."""

ASSUMED_RATE: Final = 200.0
"""Events per second that one process settles at least on a small machine, without a measurement."""

MIN_SECONDS: Final = 3.0
"""A queue younger than this does not show that every process is busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The processes needed, and the events per second of each that the estimate assumes."""

    processes: int
    rate: float
    measured: bool


def measuring_window(waiting_seconds: float) -> float | None:
    """Return the seconds over which to count settled events, None unless all processes are busy."""
    return None if waiting_seconds < MIN_SECONDS else min(waiting_seconds, TARGET_SECONDS)


def rate_of_each(*, settled: int, seconds: float | None, processes: int) -> float | None:
    """Return the events per second of one process, over a window in which all were busy."""
    if not seconds or processes < 1 or settled < 1:
        return None
    return settled / seconds / processes


def estimate_need(*, backlog: int, arriving: float, rate: float | None) -> Need:
    """Return the processes that clear a backlog in time while ``arriving`` more come per second.

    An empty inbox needs one, too: events will come.
    """
    each = rate or ASSUMED_RATE
    work = backlog / TARGET_SECONDS + arriving
    return Need(processes=max(1, ceil(work / each)), rate=each, measured=rate is not None)
