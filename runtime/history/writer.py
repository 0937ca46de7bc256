"""Write what a process counted to Redis every ten seconds, or leave it out if that fails.

The intervals are those of Redis' clock, so processes on all machines agree about them. Each process
reports a moment after the end of an interval, not all at the same one. The loss of a report is a
lower bar in a chart. So nothing is tried again: after a time-out, Redis may have it already.
"""

import random
import threading
from collections.abc import Callable
from itertools import chain
from typing import Final

import redis
import structlog
from redis.exceptions import RedisError

from runtime.error_text import describe
from runtime.guard import start_loop
from runtime.history.reports import Kind, Report
from runtime.history.spans import DAY, HOUR
from runtime.inbox.scripts import Scripts
from runtime.time_limits import HISTORY_SPREAD_SECONDS

log = structlog.stdlib.get_logger(__name__)

Read = Callable[[], Report | None]
"""Return what to report; None if another process reports it."""

_SPANS: Final = (HOUR.seconds * 1000, HOUR.places, DAY.seconds * 1000, DAY.places)


class HistoryWriter:
    """The reports of one process, from one thread."""

    def __init__(
        self, client: redis.Redis, kind: Kind, read: Read, *, prefix: str = "paidup:"
    ) -> None:
        """Use a client of this thread alone; its time limit is that of a report."""
        self._scripts = Scripts(client, prefix)
        self._kind = kind
        self._read = read
        self._spread = random.uniform(0, HISTORY_SPREAD_SECONDS)  # noqa: S311 - no secret
        self._pause = self._spread
        self._failing = False

    def report(self) -> None:
        """Add what is new to the intervals in which it was counted."""
        self._pause = float(HOUR.seconds)
        try:
            report = self._read()
            if report is None:
                return
            now = self._scripts.run("counts", self._kind, *_SPANS, *_words(report))
        except RedisError as error:
            self._log_failure(error)
            return
        self._pause = pause_until_next(now / 1000, self._spread)
        if self._failing:
            log.info("the history is written again", kind=self._kind)
        self._failing = False

    def pause_seconds(self) -> float:
        """Return the time to the next report."""
        return self._pause

    def _log_failure(self, error: RedisError) -> None:
        if not self._failing:
            log.warning(
                "the history is not written; its charts have a gap",
                kind=self._kind,
                error=describe(error),
            )
        self._failing = True


def start_history(writer: HistoryWriter, stopped: threading.Event | None = None) -> None:
    """Report from a thread of its own until stopped or until the process ends."""
    start_loop(
        "history",
        writer.report,
        pause=writer.pause_seconds,
        stopped=stopped or threading.Event(),
    )


def pause_until_next(now: float, spread: float) -> float:
    """Return the seconds from a report to the next one, ``spread`` after the end of an interval.

    A pause is longer than half of an interval: a thread that woke a little early does not report
    twice.
    """
    pause = HOUR.seconds - (now - spread) % HOUR.seconds
    return pause if pause > HOUR.seconds / 2 else pause + HOUR.seconds


def _words(report: Report) -> chain[str | int]:
    added = (("add", name, number) for name, number in report.counts.items())
    highest = (("max", name, number) for name, number in report.levels.items())
    return chain.from_iterable((*added, *highest))
