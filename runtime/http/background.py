"""The threads that every server process has beside its requests."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Final

from runtime.http.circuit_breaker import Gate
from runtime.http.stalled_connections import Patience, hang_up_on_the_slow

_PARENT_LOOK_SECONDS: Final = 0.2
_LAST_SECONDS: Final = 1.0


def watch_beside(gate: Gate, patience: Patience, *, port: int, launcher: int) -> None:
    """Start them: who probes, who hangs up on the slow, and who ends with the launcher."""
    stopped = threading.Event()
    watches: dict[str, Callable[[], None]] = {
        "gate": lambda: gate.watch(stopped),
        "patience": lambda: hang_up_on_the_slow(port, stopped, patience),
        "launcher": lambda: end_with(launcher, stopped),
    }
    for name, watch in watches.items():
        threading.Thread(target=watch, name=name, daemon=True).start()


def end_with(launcher: int, stopped: threading.Event) -> None:
    """End this process when its launcher is gone: nobody would renew or stop it any more."""
    while not stopped.wait(_PARENT_LOOK_SECONDS):
        if os.getppid() != launcher:
            os.kill(os.getpid(), signal.SIGTERM)
            stopped.wait(_LAST_SECONDS)
            os._exit(1)
