"""Handle Ctrl-C and SIGTERM between two steps, never inside one.

A handler that raises could cut a start in half: after a process has started, before its id is
recorded. This one only sets a flag, which every wait checks.
"""

import signal
import time
from types import FrameType

_LOOK_SECONDS = 0.1


class Interrupted(Exception):
    """The operator asked the command to stop; raised by the next wait."""


class Interruption:
    """The flag that a signal sets; further signals change nothing, as stopping is bounded."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    @property
    def asked(self) -> bool:
        """True once the operator has asked the command to stop."""
        return self._asked

    def pause(self, seconds: float) -> None:
        """Sleep.

        Raises:
            Interrupted: once the operator has asked to stop.
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
