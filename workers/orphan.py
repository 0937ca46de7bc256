"""Ends a pool whose supervisor is gone, so that no pool lives on that nobody restarts or stops.

Polled rather than asked of the kernel: the kernel's signal comes when the *thread* that started
the process ends, and only Linux has it.

A warm stop is asked for first. Celery does not heed it while it tries to reach a broker that is
gone, and that may be for ever (seen: pools two hours old), so what has not ended within the grace
is killed. Its children end with it, and the events they held are claimed by others.
"""

import os
import signal
import threading
import time
from typing import Final

from workers.shutdown import GRACE_SECONDS

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
