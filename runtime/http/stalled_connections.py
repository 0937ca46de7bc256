"""Close connections that make no progress, so that no client can hold a thread for long.

Granian reads bodies in blocking threads without a time limit, so each half-sent body would hold a
thread for ever. Linux reports when each TCP connection last received and sent data. A connection
that did neither is idle or stalled. If data came in and nothing went out since, the client owes the
rest of its request, because Paidup answers in less than a second (where a request may wait for
something, the limit is that much longer). Either state may last 10 s, so a proxy
that keeps connections open should drop idle ones sooner. Closing the connection ends the read with
a short body. It needs no file of its own, since slow clients may have taken the last one.
Other systems do not report this. There the number of threads and the proxy are the bound.
"""

import os
import resource
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from runtime.time_limits import STALLED_SECONDS

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


class StalledConnections:
    """The connections of this process on one port; call ``close`` about twice a second."""

    def __init__(self, port: int, reaper: ConnectionReaper) -> None:
        """Take two descriptors now, to look through one when no other is left."""
        self._port = port
        self._reaper = reaper
        self._blank = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._slot = os.dup(self._blank)

    def close(self) -> None:
        """Close the connections whose time is up."""
        traffic = {peer: _traffic(connection) for peer, connection in self._connections()}
        if overdue := self._reaper.overdue(traffic, monotonic()):
            for peer, connection in self._connections():
                if peer in overdue:
                    with suppress(OSError):  # the client may have closed it
                        connection.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Give the descriptors back."""
        os.close(self._slot)
        os.close(self._blank)

    def _connections(self) -> Iterator[tuple[Peer, socket.socket]]:
        """Yield the accepted connections of this process, each usable until the next one."""
        for descriptor in _open_files():
            if descriptor == self._slot:
                continue
            with suppress(OSError), ExitStack() as closing:  # no socket, listening, or gone
                connection = self._duplicate(descriptor, closing)
                if connection.getsockname()[1:2] == (self._port,):
                    yield connection.getpeername()[:2], connection

    def _duplicate(self, descriptor: int, closing: ExitStack) -> socket.socket:
        # A duplicate, because the server may close its descriptor and the number be used again.
        os.dup2(descriptor, self._slot, inheritable=False)
        closing.callback(self._empty_slot)
        connection = socket.socket(fileno=self._slot)
        closing.callback(connection.detach)
        return connection

    def _empty_slot(self) -> None:
        # Otherwise the duplicate would hold a connection open that the server has closed.
        os.dup2(self._blank, self._slot, inheritable=False)


def _open_files() -> Iterable[int]:
    try:
        return [int(path.name) for path in _OPEN_FILES.iterdir()]
    except OSError:
        # No descriptor is left to list them by, so every number is in use.
        return range(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _traffic(connection: socket.socket) -> ConnectionTraffic:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    sent_ago, received_ago, sent_bytes = _LAST_DATA.unpack_from(info.ljust(_LAST_DATA.size))
    return ConnectionTraffic(
        sent_ago=sent_ago / 1000, received_ago=received_ago / 1000, sent_bytes=sent_bytes
    )
