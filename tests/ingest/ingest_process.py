"""Run a real ``python -m ingest`` with its processes, and time its answers."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any, NamedTuple

from ops.up.servers.process_table import children_of, command_of
from runtime import webhook_path
from tests.fakes import SECRET
from tests.ingest.ingest_client import sign

Under = Callable[[Sequence[str]], list[str]]
"""Return a command that runs another one, for example with other limits."""


class TimedAnswer(NamedTuple):
    """The answer to one request, and the seconds until it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """Parse the body as JSON."""
        return json.loads(self.body)


def wait_until(true: Callable[[], bool], *, seconds: float = 30) -> None:
    """Poll until the condition holds; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.05)


class ServerProcess:
    """A running ingest on a free port of loopback."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log
        self._port = 0

    @property
    def address(self) -> str:
        """The address on which it listens."""
        return f"127.0.0.1:{self._port}"

    def log(self) -> str:
        """Return its log so far."""
        return self._log.read_text()

    def ready(self) -> bool:
        """Return True if it accepts events."""
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    def starting(self) -> bool:
        """Read the port from its log, and return True if it is there."""
        assert self.process.poll() is None, self.log()
        found = re.search(r'"url": "http://127.0.0.1:(\d+)"', self.log())
        self._port = int(found[1]) if found else 0
        return bool(found)

    def get(self, path: str) -> TimedAnswer:
        """Get a page on a new connection."""
        return self._ask("GET", path, None, {})

    def post(self, body: bytes, signature: str, *, path: str = webhook_path.DEFAULT) -> TimedAnswer:
        """Post bytes with a signature."""
        headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
        return self._ask("POST", path, body, headers)

    def deliver(self, body: bytes) -> TimedAnswer:
        """Sign an event now, and post it."""
        return self.post(body, sign(body, at=int(time.time())))

    def connect(self) -> socket.socket:
        """Open a connection, and send nothing."""
        return socket.create_connection(("127.0.0.1", self._port), timeout=20)

    def half_sent(self) -> socket.socket:
        """Open a connection and send a request without the rest of its body."""
        connection = self.connect()
        head = f"POST {webhook_path.DEFAULT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
        connection.sendall(head.encode())
        return connection

    def server_processes(self) -> list[int]:
        """Return the ids of the processes that answer requests."""
        return [pid for pid in children_of(self.process.pid) if "spawn_main" in command_of(pid)]

    def count(self, series: str) -> float:
        """Return the value of a series over all processes."""
        for line in self.get("/metrics").body.decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        raise AssertionError(series)

    def stop(self, *, seconds: float = 20) -> int:
        """Stop it, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> TimedAnswer:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=20)
        started = time.monotonic()
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            read = response.read()
            seconds = time.monotonic() - started
            return TimedAnswer(response.status, dict(response.getheaders()), read, seconds)
        finally:
            connection.close()


@contextmanager
def serving(
    redis_url: str, folder: Path, under: Under = list, /, **environ: str
) -> Iterator[ServerProcess]:
    """Start an ingest, wait until it is ready, and stop it if it still runs."""
    log = folder / "ingest.log"
    with log.open("w") as stream:
        process = start(redis_url, folder, stream, under, **environ)
    served = ServerProcess(process, log)
    try:
        wait_until(served.starting)
        wait_until(served.ready)
        yield served
    finally:
        if process.poll() is None:
            served.stop()


def start(
    redis_url: str, folder: Path, stream: IO[str], under: Under = list, /, **environ: str
) -> subprocess.Popen[str]:
    """Start the process, and wait for nothing; ``under`` wraps its command."""
    settings = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "REDIS_URL": redis_url,
        "PAIDUP_INGEST_BIND": "127.0.0.1:0",
        "PAIDUP_DATA_DIR": str(folder / "data"),
        **environ,
    }
    return subprocess.Popen(
        under([sys.executable, "-m", "ingest"]),
        env={**os.environ, **settings},
        stderr=stream,
        text=True,
    )
