"""A TCP relay to a server: cut its connections, switch them to another server, or delay them."""

import contextlib
import socket
import threading
import time

from ops.up.servers.ports import LOOPBACK

_PIECE = 65_536


class Relay:
    """Listens on a free port of loopback and passes bytes on to ``target``, a port there.

    ``delay_seconds`` holds each piece back on its way to the server and on its way from it, as a
    network does between two places.
    """

    def __init__(self, target: int, *, delay_seconds: float = 0.0) -> None:
        self._target = target
        self._delay_seconds = delay_seconds
        self._cut = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="relay", daemon=True)
        self._accepting.start()

    def point_at(self, target: int) -> None:
        """Send new connections to another port; those that are open stay where they are."""
        self._target = target

    def cut(self) -> None:
        """Close every connection, and each new one at once, until ``mend``."""
        with self._lock:
            self._cut = True
            self._close_all()

    def mend(self) -> None:
        """Let new connections through again."""
        self._cut = False

    def close(self) -> None:
        """Stop listening and close every connection."""
        _shut(self._listener)
        self._accepting.join()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection((LOOPBACK, self._target), timeout=3)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self._lock:
            if self._cut:
                client.close()
                server.close()
                return
            self._open |= {client, server}
        for source, sink in ((client, server), (server, client)):
            threading.Thread(
                target=self._pass_on, args=(source, sink), name="relay", daemon=True
            ).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                time.sleep(self._delay_seconds)
                sink.sendall(piece)
        with self._lock:
            for end in (source, sink):
                _shut(end)
                self._open.discard(end)

    def _close_all(self) -> None:
        for end in self._open:
            _shut(end)
        self._open.clear()


def _shut(end: socket.socket) -> None:
    # Shut down first: it ends recv and accept of another thread, which close alone does not.
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
