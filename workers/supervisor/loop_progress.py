"""Tell a supervisor that is busy from one that hangs, by the loops that no server can stop.

The loop that watches the pools and the thread that asks Redis alone end each of their waits by
themselves, so they move while PostgreSQL or Redis is frozen and while a batch runs. If one of them
stays where it is, only a restart helps. A platform asks for that at ``/livez``.
"""

import threading
from collections.abc import Callable

from runtime.time_limits import LOOP_STILL_SECONDS


class LoopProgress:
    """The times at which each loop last began again; ``clock`` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float], *loops: str) -> None:
        """Take the names of the loops; each counts as moving now."""
        self._clock = clock
        self._moved_at = dict.fromkeys(loops, clock())
        self._ended = threading.Event()

    def move(self, loop: str) -> None:
        """Note that a loop begins again."""
        self._moved_at[loop] = self._clock()

    def end(self) -> None:
        """Expect no move from now on: the worker stops, and a stop has limits of its own."""
        self._ended.set()

    def reason_to_restart(self) -> str | None:
        """Return which loops have been still for too long; None if all move."""
        if self._ended.is_set():
            return None
        now = self._clock()
        still = {loop: now - at for loop, at in self._moved_at.items()}
        late = [
            f"the loop of the {loop} has not moved for {seconds:.0f} s"
            for loop, seconds in still.items()
            if seconds > LOOP_STILL_SECONDS
        ]
        return "; ".join(late) or None
