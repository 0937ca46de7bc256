"""Evict done markers before Redis runs short of memory: waiting events need it more.

A done marker only saves the work to settle a duplicate again; PostgreSQL knows the outcome. Ingest
refuses events at 80 % of ``maxmemory``, so eviction starts well below that.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

START_AT_PERCENT: Final = 70
MAX_DROPPED: Final = 50_000

ReadInfo = Callable[[str], Any]
"""Return one section of Redis' INFO as a mapping."""

DropMarkers = Callable[[int], int]
"""Drop at most so many done markers; return how many were dropped."""


def evict_markers(info: ReadInfo, drop_done_markers: DropMarkers) -> int:
    """Drop as many done markers as one run may, if memory is short; return how many."""
    memory = info("memory")
    used, most = int(memory["used_memory"]), int(memory["maxmemory"])
    if most == 0 or used * 100 <= most * START_AT_PERCENT:
        return 0
    dropped = drop_done_markers(MAX_DROPPED)
    if dropped:
        log.warning(
            "done markers dropped to free memory", dropped=dropped, used_memory=used, maxmemory=most
        )
    return dropped
