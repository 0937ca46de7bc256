"""Ends a pool whose supervisor is gone, so that no pool lives on that nobody restarts or stops.

Polled rather than asked of the kernel: the kernel's signal comes when the *thread* that started
the process ends, and only Linux has it.
"""

import os
import signal
import threading
import time
from typing import Final

POLL_SECONDS: Final = 1.0


def stop_with_parent(parent: int) -> None:
    """Stop this process warm, by a SIGTERM, as soon as ``parent`` is not its parent any more."""
    threading.Thread(target=_watch, args=(parent,), name="orphan-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
