"""Learn of the signal that stops a server process, beside the server's own handler.

The server sets its handlers last and tells no one, so a request that waits for something else
would hold up the stop until it is killed. Python writes the number of each signal into a socket,
whichever handler it has.
"""

import signal
import socket
import threading
from collections.abc import Callable
from typing import Final

_STOPPING: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_AT_ONCE: Final = 64


def call_on_stop(call: Callable[[], None]) -> None:
    """Call ``call`` in a thread of its own at each SIGTERM and SIGINT; main thread only."""
    written, read = socket.socketpair()
    written.settimeout(0)
    signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    # The thread holds both sockets, because Python goes on writing as long as the process lives.
    args = (written, read, call)
    threading.Thread(target=_watch, args=args, name="stop-signal", daemon=True).start()


def _watch(_written: socket.socket, read: socket.socket, call: Callable[[], None]) -> None:
    while True:
        if not _STOPPING.isdisjoint(read.recv(_AT_ONCE)):
            call()
