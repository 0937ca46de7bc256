"""Report long waits: what a command waits for, and for how long so far."""

import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Self

from ops.terminal.formats import format_duration

_EVERY_SECONDS = 2.0
_LOOK_SECONDS = 0.25


class Waits:
    """A context manager that calls ``say`` during a long wait.

    It calls after ``every`` seconds without output, from its own thread.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        every: float = _EVERY_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._every = every
        self._monotonic = monotonic
        self._since = self._heard = monotonic()
        self._what = ""
        self._ended = Event()
        self._thread = Thread(target=self._look_again_and_again, name="waits", daemon=True)

    def wait_for(self, what: str) -> None:
        """Begin a wait; an unchanged ``what`` is still the same wait."""
        if what != self._what:
            self._what, self._since = what, self._monotonic()

    def heard(self) -> None:
        """Note that something else was printed just now."""
        self._heard = self._monotonic()

    def look(self) -> None:
        """Say what is waited for, if nothing was printed for too long."""
        now = self._monotonic()
        if self._what and now - self._heard >= self._every:
            self._heard = now
            lasts = now - self._since
            so_far = f" ({format_duration(lasts)} so far)" if lasts >= 1 else ""
            self._say(f"Waiting for {self._what}{so_far}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look_again_and_again(self) -> None:
        while not self._ended.wait(min(_LOOK_SECONDS, self._every)):
            # A reader that went away is noticed by the main thread.
            with suppress(OSError):
                self.look()
