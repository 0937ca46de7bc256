"""Send signals to processes that may have ended already."""

import os
import signal


def kill(pid: int | None, number: signal.Signals = signal.SIGKILL) -> bool:
    """Signal a process; return False if it does not exist."""
    if not pid:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
