"""Close connections that make no progress, so that no client can hold a thread for long.

Granian reads bodies in blocking threads without a time limit, so each half-sent body would hold a
thread for ever. Linux reports when each TCP connection last received and sent data. A connection
that did neither is idle or stalled. If data came in and nothing went out since, the client owes the
rest of its request, because Paidup answers in less than a second. Either state may last 10 s, so
a proxy that keeps connections open should drop idle ones sooner. Closing the connection ends the
read with a short body. Other systems do not report this. There the number of threads and the proxy
are the bound.
"""

import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

STALLED_SECONDS: Final = 9.0
"""Together with ``_LOOK_SECONDS`` less than the documented 10 s."""

_LOOK_SECONDS: Final = 0.5
_OPEN_FILES: Final = Path("/proc/self/fd")
_TCP_INFO_BYTES: Final = 192
_LAST_DATA: Final = struct.Struct("@44xI4xI64xQ")

Peer = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionTraffic:
    """Seconds since one connection sent and received data, and the bytes that it sent."""

    sent_ago: float
    received_ago: float
    sent_bytes: int

    @property
    def owing(self) -> bool:
        """True if the client sent last, and so has not finished its request."""
        return self.received_ago < self.sent_ago

    @property
    def quiet(self) -> float:
        """Seconds without traffic in either direction."""
        return min(self.received_ago, self.sent_ago)


class ConnectionReaper:
    """The clients that owe the rest of a request, with the time since when."""

    def __init__(
        self, seconds: float = STALLED_SECONDS, *, idle_seconds: float | None = None
    ) -> None:
        """Set ``idle_seconds`` higher where only trusted clients connect."""
        self._seconds = seconds
        self._idle_seconds = seconds if idle_seconds is None else idle_seconds
        self._owing: dict[Peer, tuple[int, float]] = {}

    def overdue(self, traffic: Mapping[Peer, ConnectionTraffic], now: float) -> frozenset[Peer]:
        """Return the clients whose time is up; a byte now and then does not extend it."""
        self._owing = {
            peer: self._since(peer, each, now) for peer, each in traffic.items() if each.owing
        }
        stalled = {p for p, (_, since) in self._owing.items() if now - since > self._seconds}
        silent = {peer for peer, each in traffic.items() if each.quiet > self._idle_seconds}
        return frozenset(stalled | silent)

    def _since(self, peer: Peer, each: ConnectionTraffic, now: float) -> tuple[int, float]:
        sent_bytes, since = self._owing.get(peer, (each.sent_bytes, now))
        return (sent_bytes, since) if sent_bytes == each.sent_bytes else (each.sent_bytes, now)


def close_stalled_connections(
    port: int, stopped: threading.Event, reaper: ConnectionReaper
) -> None:
    """Close stalled connections of this process until stopped. Runs in its own thread."""
    while sys.platform == "linux" and not stopped.wait(_LOOK_SECONDS):
        traffic = {peer: _traffic(connection) for peer, connection in _connections(port)}
        if overdue := reaper.overdue(traffic, monotonic()):
            _close(port, overdue)


def _close(port: int, peers: frozenset[Peer]) -> None:
    for peer, connection in _connections(port):
        if peer in peers:
            with suppress(OSError):  # the client may have closed it
                connection.shutdown(socket.SHUT_RDWR)


def _connections(port: int) -> Iterator[tuple[Peer, socket.socket]]:
    """Yield the accepted connections of this process, each usable until the next one."""
    for path in _OPEN_FILES.iterdir():
        with suppress(OSError), ExitStack() as closing:  # no socket, listening, or gone meanwhile
            connection = _duplicate(int(path.name), closing)
            if connection.getsockname()[1:2] == (port,):
                yield connection.getpeername()[:2], connection


def _duplicate(descriptor: int, closing: ExitStack) -> socket.socket:
    # A duplicate, because the server may close its descriptor and the number be used again.
    duplicate = os.dup(descriptor)
    closing.callback(os.close, duplicate)
    connection = socket.socket(fileno=duplicate)
    closing.callback(connection.detach)
    return connection


def _traffic(connection: socket.socket) -> ConnectionTraffic:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    sent_ago, received_ago, sent_bytes = _LAST_DATA.unpack_from(info.ljust(_LAST_DATA.size))
    return ConnectionTraffic(
        sent_ago=sent_ago / 1000, received_ago=received_ago / 1000, sent_bytes=sent_bytes
    )
