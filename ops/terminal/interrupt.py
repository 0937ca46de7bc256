"""Ctrl-C and SIGTERM as something that happens between two steps, never inside one.

A handler that raised could cut a start in half, after a process was born and before it was
written down. This one only takes a note; every wait looks at it.
"""

import signal
import time
from types import FrameType

_LOOK_SECONDS = 0.1


class Interrupted(Exception):
    """Somebody wants this to end; raised by the wait that noticed."""


class Interruption:
    """The note; repeated signals add nothing, since the way out is bounded in time."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    @property
    def asked(self) -> bool:
        """Whether somebody wants this to end."""
        return self._asked

    def pause(self, seconds: float) -> None:
        """Sleep.

        Raises:
            Interrupted: as soon as somebody has asked.
        """
        until = time.monotonic() + seconds
        while True:
            if self._asked:
                raise Interrupted
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _LOOK_SECONDS))

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
