"""Run the threads that every HTTP server process has beside its requests."""

import sys
import threading

from runtime.guard import start_loop
from runtime.http.circuit_breaker import CircuitBreaker
from runtime.http.stalled_connections import ConnectionReaper, StalledConnections
from runtime.parent_watch import end_with_parent
from runtime.time_limits import SERVER_ORPHAN_SECONDS, STALLED_LOOK_SECONDS


def start_background_threads(
    breaker: CircuitBreaker, reaper: ConnectionReaper, *, port: int, launcher: int
) -> None:
    """Start probing, closing stalled connections, and watching the launcher."""
    end_with_parent(launcher, grace_seconds=SERVER_ORPHAN_SECONDS)
    stopped = threading.Event()
    start_loop("circuit-breaker", breaker.check, pause=breaker.pause_seconds, stopped=stopped)
    if sys.platform == "linux":
        closing = StalledConnections(port, reaper)
        start_loop(
            "connection-reaper", closing.close, pause=lambda: STALLED_LOOK_SECONDS, stopped=stopped
        )
