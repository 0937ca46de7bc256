"""How many worker processes a backlog needs. Pure.

What a process can do is measured, never guessed, where that is possible: while events wait that
anybody could take, every process is busy, so what was settled meanwhile is all they can do.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

TARGET_SECONDS: Final = 60.0
"""A backlog is to be gone in this time."""

ASSUMED_RATE: Final = 200.0
"""Events a second that a process settles at least on a small machine, where nobody measured it."""

LEAST_SECONDS: Final = 3.0
"""A queue younger than this says nothing about the speed of those who work it off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """How many processes, and on which rate of each that rests."""

    processes: int
    rate: float
    measured: bool


def window(waiting_seconds: float) -> float | None:
    """Over how many seconds to count what is settled; None while nobody is surely busy."""
    return None if waiting_seconds < LEAST_SECONDS else min(waiting_seconds, TARGET_SECONDS)


def rate_of_each(*, settled: int, seconds: float | None, processes: int) -> float | None:
    """What one process settles in a second, seen over a window in which all were busy."""
    if not seconds or processes < 1 or settled < 1:
        return None
    return settled / seconds / processes


def need(*, backlog: int, arriving: float, rate: float | None) -> Need:
    """The processes that drain a backlog in time although ``arriving`` more come each second.

    One is needed even for an empty inbox: something will come.
    """
    each = rate or ASSUMED_RATE
    work = backlog / TARGET_SECONDS + arriving
    return Need(processes=max(1, ceil(work / each)), rate=each, measured=rate is not None)
