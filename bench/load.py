"""A load generator for one machine: keep-alive connections, one loop, and as little work as it can.

It shares the processors with the measured processes. So it prepares every request beforehand and
reads only the status and the length of an answer.
"""

import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles

from ops.send.delivery import sign

_HEAD_END = b"\r\n\r\n"


@dataclass(slots=True)
class LoadAnswers:
    """The answers: one latency in seconds for each request, and a count for each status."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Answers per second, of every status."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        """Return the latency in milliseconds at a percentile."""
        return quantiles(self.latencies, n=100, method="inclusive")[percent - 1] * 1000


def request(path: str, body: bytes, secret: str, now: int) -> bytes:
    """Return one signed delivery as bytes of HTTP."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: {sign(body, secret, now)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection:
    """One keep-alive connection with at most one request in progress."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.started = 0.0
        self.received = b""

    def send(self, data: bytes, due: float) -> None:
        # Latency counts from the time the request was due, so that a stall is not hidden.
        self.started = due
        self.received = b""
        self.socket.sendall(data)

    def read(self) -> int | None:
        """Return the status once the whole answer has arrived."""
        chunk = self.socket.recv(65536)
        if not chunk:
            message = "the server closed a connection in the middle of a run"
            raise ConnectionError(message)
        self.received += chunk
        head, found, rest = self.received.partition(_HEAD_END)
        if not found or len(rest) < _length(head):
            return None
        return int(head[9:12])


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def run(
    host: str, port: int, requests: Sequence[bytes], *, connections: int, rate: float | None = None
) -> LoadAnswers:
    """Send every request once: as fast as answers come, or ``rate`` a second (open loop)."""
    loop = _Loop(host, port, connections)
    try:
        return loop.send_all(deque(requests), rate)
    finally:
        loop.close()


class _Loop:
    def __init__(self, host: str, port: int, connections: int) -> None:
        self.selector = selectors.DefaultSelector()
        # Used in turn: a server closes a connection that is idle for long.
        self.idle = deque(_Connection(host, port) for _ in range(connections))
        for connection in self.idle:
            self.selector.register(connection.socket, selectors.EVENT_READ, connection)
        self.answers = LoadAnswers()

    def send_all(self, waiting: deque[bytes], rate: float | None) -> LoadAnswers:
        total = len(waiting)
        started = time.perf_counter()
        while len(self.answers.latencies) < total:
            self._send_due(waiting, total, started, rate)
            self._read_some(0.0005 if rate and self.idle else 1.0)
        self.answers.seconds = time.perf_counter() - started
        return self.answers

    def _send_due(
        self, waiting: deque[bytes], total: int, started: float, rate: float | None
    ) -> None:
        while waiting and self.idle:
            now = time.perf_counter()
            due = started + (total - len(waiting)) / rate if rate else now
            if due > now:
                return
            self.idle.popleft().send(waiting.popleft(), due)

    def _read_some(self, timeout: float) -> None:
        for key, _ in self.selector.select(timeout):
            connection: _Connection = key.data
            if (status := connection.read()) is not None:
                self.answers.latencies.append(time.perf_counter() - connection.started)
                self.answers.statuses[status] += 1
                self.idle.append(connection)

    def close(self) -> None:
        for key in list(self.selector.get_map().values()):
            self.selector.unregister(key.fileobj)
            key.data.socket.close()
        self.selector.close()
