"""Gives up cached results before Redis runs short: an event that waits needs the room more.

A done marker only saves the work of settling a duplicate once more, since PostgreSQL knows it
anyway. Ingest refuses events at 80 % of ``maxmemory``, so markers go some way before that.
"""

from typing import Any, Final, Protocol

import structlog

log = structlog.get_logger(__name__)

SHORT_AT_PERCENT: Final = 70
MOST_AT_ONCE: Final = 50_000


class AnswersInfo(Protocol):
    """The part of a Redis client that is asked."""

    def info(self, section: str) -> Any:
        """One section of INFO as a mapping."""
        ...


class HoldsMarkers(Protocol):
    """The part of the inbox that is asked."""

    def drop_done_markers(self, most: int | None = None) -> int:
        """Forget cached results, and say how many."""
        ...


def make_room(redis: AnswersInfo, inbox: HoldsMarkers) -> int:
    """Forget as many cached results as one round may, if memory is short; says how many."""
    memory = redis.info("memory")
    used, most = int(memory["used_memory"]), int(memory["maxmemory"])
    if most == 0 or used * 100 <= most * SHORT_AT_PERCENT:
        return 0
    dropped = inbox.drop_done_markers(MOST_AT_ONCE)
    if dropped:
        log.warning("done markers given up", dropped=dropped, used_memory=used, maxmemory=most)
    return dropped
