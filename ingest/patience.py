"""A request that is not whole in time is hung up on.

The server reads bodies in blocking threads and knows no time limit for them, so each half-sent
body would hold a thread for ever. Linux tells of every TCP connection when data last came and
went: where a request has come and nothing has gone since, somebody still owes us the rest of it
(our own answers take less than a second). Hanging up wakes the thread with a short body. Where the
system does not tell, nothing is done, and the server's threads and the proxy are the bound.
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
    """What one connection has done: milliseconds since data went and came, and what went."""

    sent_ago: int
    received_ago: int
    answered_bytes: int

    @property
    def waits_for_an_answer(self) -> bool:
        """Whether the last word was the client's."""
        return self.received_ago < self.sent_ago


class Patience:
    """Remembers since when each client has owed the rest of its request."""

    def __init__(self, seconds: float = PATIENCE_SECONDS) -> None:
        self._seconds = seconds
        self._owing: dict[Peer, tuple[int, float]] = {}

    def overdue(self, traffic: Mapping[Peer, Traffic], now: float) -> frozenset[Peer]:
        """The clients whose time is up; a byte now and then buys no more of it."""
        self._owing = {
            peer: self._since(peer, seen, now)
            for peer, seen in traffic.items()
            if seen.waits_for_an_answer
        }
        return frozenset(p for p, (_, since) in self._owing.items() if now - since > self._seconds)

    def _since(self, peer: Peer, seen: Traffic, now: float) -> tuple[int, float]:
        answered, since = self._owing.get(peer, (seen.answered_bytes, now))
        return (answered, since) if answered == seen.answered_bytes else (seen.answered_bytes, now)


def hang_up_on_the_slow(port: int, stopped: threading.Event) -> None:
    """Watch this process' connections until stopped; for a thread of its own."""
    patience = Patience()
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
    sent_ago, received_ago, answered_bytes = _LAST_DATA.unpack_from(told.ljust(_LAST_DATA.size))
    return Traffic(sent_ago=sent_ago, received_ago=received_ago, answered_bytes=answered_bytes)
