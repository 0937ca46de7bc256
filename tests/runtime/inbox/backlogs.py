"""An inbox at rest, from which tests make the one that they need."""

from runtime.inbox.entries import Backlog
from tests.fakes import NOW

EMPTY_BACKLOG = Backlog(
    at=NOW,
    events=0,
    oldest_seconds=0.0,
    due=0,
    waiting_seconds=0.0,
    parked=0,
    claimed=0,
    by_lane={},
    drainers=0,
    workers=1,
    processes=2,
    unknown_version=0,
    conflicts=0,
    breaker=None,
    counters={},
)
