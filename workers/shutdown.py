"""How long a stop may take, and how whoever drains learns of one.

Celery's warm shutdown waits for running tasks but does not tell them. One byte of memory shared
over the fork does: drainers look at it between batches, so a stop takes one batch and not five
seconds. A signal to the whole group (a terminal that closes, an init system that signals every
process) reaches the drainers themselves; that is for the same reason no end in mid-batch.
"""

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

GRACE_SECONDS: Final = 85.0
"""Longer than any batch, and than the 30 s a Celery child may wait for its parent at the end."""


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """All of them mean the same, and a second one means no more than the first."""
    asked = False
    # Ignored when we were started, a hang-up stays ignored: nohup means what it says.
    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    heard = _STOPPING[:-1] if nohup else _STOPPING

    def remember(*_: object) -> None:
        nonlocal asked
        asked = True

    kept = {number: signal.signal(number, remember) for number in heard}
    try:
        yield lambda: asked
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


class StopFlag:
    """Made before the fork; raised in the parent, seen in every child."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def raise_(self) -> None:
        """Ask every drainer to end after the batch in its hands."""
        self._shared[0] = 1

    def is_raised(self) -> bool:
        """Whether the pool is about to stop."""
        return self._shared[0] != 0


class EndAfterBatch:
    """Signals to end this process wait while a batch is in its hands.

    An event that is tried alone would else be charged for the operator's stop as for a crash of
    its own making, and three restarts would bury it.
    """

    def __init__(self, ends_anyway: Callable[[], bool]) -> None:
        """``ends_anyway``: somebody else sees to the end, so the signal need not come again."""
        self._ends_anyway = ends_anyway
        self._asked: int | None = None

    def is_asked(self) -> bool:
        """Whether this process ends after the batch in its hands."""
        return self._asked is not None

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While the block runs, in the main thread, a signal waits for its end."""
        # Set each time: a Celery child sets its own after everything that could be asked to.
        kept = {number: signal.signal(number, self._heed) for number in _ENDING}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
        if self._asked is not None and not self._ends_anyway():
            os.kill(os.getpid(), self._asked)

    def _heed(self, number: int, _frame: object) -> None:
        self._asked = number


POLL_SECONDS: Final = 1.0


def stop_with_parent(parent: int, *, grace_seconds: float = GRACE_SECONDS) -> None:
    """End this process, warm if it can be, as soon as ``parent`` is not its parent any more."""
    watch = threading.Thread(
        target=_watch, args=(parent, grace_seconds), name="orphan-watch", daemon=True
    )
    watch.start()


def _watch(parent: int, grace_seconds: float) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os.kill(os.getpid(), signal.SIGKILL)
