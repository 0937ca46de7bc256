"""A connection that gets nowhere is hung up on, so that nobody can hold a thread for long.

The server reads bodies in blocking threads and knows no time limit for them, so each half-sent
body would hold a thread for ever. Linux tells of every TCP connection when data last came and
went. One on which neither happened is idle or stalled. One where data came and nothing went since
owes us the rest of a request, for our own answers take less than a second. Either may last ten
seconds (so a proxy that keeps connections open should drop idle ones sooner). Hanging up wakes
the thread with a short body. Where the system does not tell, nothing is done, and the number of
threads and the proxy before us are the bound.
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

PATIENCE_SECONDS: Final = 9.0
"""With ``_LOOK_SECONDS`` this keeps the promise of 10 s."""

_LOOK_SECONDS: Final = 0.5
_OPEN_FILES: Final = Path("/proc/self/fd")
_TCP_INFO_BYTES: Final = 192
_LAST_DATA: Final = struct.Struct("@44xI4xI64xQ")

Peer = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What one connection has done: seconds since data went and came, and how much went."""

    sent_ago: float
    received_ago: float
    sent_bytes: int

    @property
    def owing(self) -> bool:
        """Whether the last word was the client's, and therefore not the whole of it."""
        return self.received_ago < self.sent_ago

    @property
    def quiet(self) -> float:
        """How long nothing has come or gone."""
        return min(self.received_ago, self.sent_ago)


class Patience:
    """Remembers since when each client has owed the rest of its request."""

    def __init__(
        self, seconds: float = PATIENCE_SECONDS, *, idle_seconds: float | None = None
    ) -> None:
        """``idle_seconds`` may be more where nobody but friends connects."""
        self._seconds = seconds
        self._idle_seconds = seconds if idle_seconds is None else idle_seconds
        self._owing: dict[Peer, tuple[int, float]] = {}

    def overdue(self, traffic: Mapping[Peer, Traffic], now: float) -> frozenset[Peer]:
        """The clients whose time is up; a byte now and then buys no more of it."""
        self._owing = {
            peer: self._since(peer, seen, now) for peer, seen in traffic.items() if seen.owing
        }
        stalled = {p for p, (_, since) in self._owing.items() if now - since > self._seconds}
        silent = {peer for peer, seen in traffic.items() if seen.quiet > self._idle_seconds}
        return frozenset(stalled | silent)

    def _since(self, peer: Peer, seen: Traffic, now: float) -> tuple[int, float]:
        sent_bytes, since = self._owing.get(peer, (seen.sent_bytes, now))
        return (sent_bytes, since) if sent_bytes == seen.sent_bytes else (seen.sent_bytes, now)


def hang_up_on_the_slow(port: int, stopped: threading.Event, patience: Patience) -> None:
    """Watch this process' connections until stopped; for a thread of its own."""
    while sys.platform == "linux" and not stopped.wait(_LOOK_SECONDS):
        traffic = {peer: _traffic(connection) for peer, connection in _connections(port)}
        if overdue := patience.overdue(traffic, monotonic()):
            _hang_up(port, overdue)


def _hang_up(port: int, peers: frozenset[Peer]) -> None:
    for peer, connection in _connections(port):
        if peer in peers:
            with suppress(OSError):  # it may have hung up itself
                connection.shutdown(socket.SHUT_RDWR)


def _connections(port: int) -> Iterator[tuple[Peer, socket.socket]]:
    """The accepted connections of this process, each open only until the next one is asked for."""
    for path in _OPEN_FILES.iterdir():
        with suppress(OSError), ExitStack() as closing:  # no socket, listening, or gone meanwhile
            connection = _duplicate(int(path.name), closing)
            if connection.getsockname()[1:2] == (port,):
                yield connection.getpeername()[:2], connection


def _duplicate(descriptor: int, closing: ExitStack) -> socket.socket:
    # A descriptor of our own: the server may close its own, and another take the number.
    duplicate = os.dup(descriptor)
    closing.callback(os.close, duplicate)
    connection = socket.socket(fileno=duplicate)
    closing.callback(connection.detach)
    return connection


def _traffic(connection: socket.socket) -> Traffic:
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    sent_ago, received_ago, sent_bytes = _LAST_DATA.unpack_from(told.ljust(_LAST_DATA.size))
    return Traffic(
        sent_ago=sent_ago / 1000, received_ago=received_ago / 1000, sent_bytes=sent_bytes
    )
