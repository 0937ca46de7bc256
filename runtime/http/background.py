"""Run the threads that every HTTP server process has beside its requests."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Final

from runtime.http.circuit_breaker import CircuitBreaker
from runtime.http.stalled_connections import ConnectionReaper, close_stalled_connections

_PARENT_LOOK_SECONDS: Final = 0.2
_LAST_SECONDS: Final = 1.0


def start_background_threads(
    breaker: CircuitBreaker, reaper: ConnectionReaper, *, port: int, launcher: int
) -> None:
    """Start probing, closing stalled connections, and watching the launcher."""
    stopped = threading.Event()
    watches: dict[str, Callable[[], None]] = {
        "circuit-breaker": lambda: breaker.watch(stopped),
        "connection-reaper": lambda: close_stalled_connections(port, stopped, reaper),
        "launcher": lambda: exit_with_launcher(launcher, stopped),
    }
    for name, watch in watches.items():
        threading.Thread(target=watch, name=name, daemon=True).start()


def exit_with_launcher(launcher: int, stopped: threading.Event) -> None:
    """End this process when its launcher is gone, since nothing would restart or stop it."""
    while not stopped.wait(_PARENT_LOOK_SECONDS):
        if os.getppid() != launcher:
            os.kill(os.getpid(), signal.SIGTERM)
            stopped.wait(_LAST_SECONDS)
            os._exit(1)
