"""The two spans of the history: the last hour in short intervals, the last day in long ones.

Each is a ring in one key of Redis with a place for each interval, so its memory has a bound. A ring
has two places more than are shown: the next interval is written before the oldest is left out.
"""

from dataclasses import dataclass
from typing import Final

from runtime.time_limits import HISTORY_LONG_SECONDS, HISTORY_SHORT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySpan:
    """The intervals of one key: how long each is, and how many are shown."""

    key: str
    seconds: int
    shown: int

    @property
    def places(self) -> int:
        """The number of intervals that the key holds at most."""
        return self.shown + 2


HOUR: Final = HistorySpan(
    key="counts:short", seconds=HISTORY_SHORT_SECONDS, shown=3600 // HISTORY_SHORT_SECONDS
)
DAY: Final = HistorySpan(
    key="counts:long", seconds=HISTORY_LONG_SECONDS, shown=86400 // HISTORY_LONG_SECONDS
)
