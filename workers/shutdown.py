"""Stop worker processes between two batches, and bound how long that may take.

Celery's warm shutdown waits for running tasks and does not tell them. One byte of memory shared
over the fork does: drainers read it between batches, so a stop takes one batch and not five
seconds. A signal to the whole process group (a closed terminal, some init systems) reaches the
drainers directly; it does not interrupt a batch either.
"""

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from runtime.time_limits import GRACE_SECONDS

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

POLL_SECONDS: Final = 1.0


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns True once a stop signal arrived; repeats change nothing."""
    asked = False
    # A SIGHUP that was ignored at the start stays ignored: that is how nohup works.
    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    handled = _STOPPING[:-1] if nohup else _STOPPING

    def remember(*_: object) -> None:
        nonlocal asked
        asked = True

    previous = {number: signal.signal(number, remember) for number in handled}
    try:
        yield lambda: asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class StopFlag:
    """A flag made before the fork, raised in the parent and read in every child."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def raise_(self) -> None:
        """Ask every drainer to end after its current batch."""
        self._shared[0] = 1

    def is_raised(self) -> bool:
        """Return True if the pool stops."""
        return self._shared[0] != 0


class EndAfterBatch:
    """Delays signals that end this process until its current batch is finished.

    Otherwise an event that is tried alone would be counted as the cause of a crash whenever an
    operator stops the worker, and three restarts would make it a dead letter.
    """

    def __init__(self, ends_anyway: Callable[[], bool]) -> None:
        """Take ``ends_anyway``: it returns True if the process ends without a second signal."""
        self._ends_anyway = ends_anyway
        self._asked: int | None = None

    def is_asked(self) -> bool:
        """Return True if this process ends after its current batch."""
        return self._asked is not None

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Delay signals until the block ends; call it in the main thread."""
        # Set for each batch: a Celery child installs its own handlers after every earlier hook.
        previous = {number: signal.signal(number, self._remember) for number in _ENDING}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if self._asked is not None and not self._ends_anyway():
            os.kill(os.getpid(), self._asked)

    def _remember(self, number: int, _frame: object) -> None:
        self._asked = number


def stop_with_parent(parent: int, *, grace_seconds: float = GRACE_SECONDS) -> None:
    """End this process as soon as ``parent`` is not its parent: SIGTERM, then SIGKILL."""
    watch = threading.Thread(
        target=_watch, args=(parent, grace_seconds), name="parent-watch", daemon=True
    )
    watch.start()


def _watch(parent: int, grace_seconds: float) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    os.kill(os.getpid(), signal.SIGKILL)
