"""Signals to processes that may be gone before they come."""

import os
import signal


def kill(pid: int | None, number: signal.Signals = signal.SIGKILL) -> bool:
    """Signal a process; says whether there was one."""
    if not pid:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
