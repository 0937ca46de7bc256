"""A real ``python -m ingest``, its processes, and a client that measures its patience."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any, NamedTuple

from ingest.app import WEBHOOK_PATH
from ops.up.servers.process_table import children_of, command_of
from tests.fakes import SECRET
from tests.ingest.ingest_client import sign


class Answer(NamedTuple):
    """What one request got, and after how many seconds."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """The body as the document it must be."""
        return json.loads(self.body)


def wait_until(true: Callable[[], bool], *, seconds: float = 30) -> None:
    """Look until something is so; fail when it never is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.05)


class Served:
    """One running ingest on a free port of loopback."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log
        self._port = 0

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._port}"

    def log(self) -> str:
        """Everything it has written so far."""
        return self._log.read_text()

    def ready(self) -> bool:
        """Whether it takes events."""
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    def starting(self) -> bool:
        """Whether it has said where it will listen."""
        assert self.process.poll() is None, self.log()
        told = re.search(r'"url": "http://127.0.0.1:(\d+)"', self.log())
        self._port = int(told[1]) if told else 0
        return bool(told)

    def get(self, path: str) -> Answer:
        """Ask for a page on a connection of its own."""
        return self._ask("GET", path, None, {})

    def post(self, body: bytes, signature: str) -> Answer:
        """Deliver bytes with a signature."""
        headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
        return self._ask("POST", WEBHOOK_PATH, body, headers)

    def deliver(self, body: bytes) -> Answer:
        """Deliver an event, signed now."""
        return self.post(body, sign(body, at=int(time.time())))

    def connect(self) -> socket.socket:
        """A connection that nothing was sent on yet."""
        return socket.create_connection(("127.0.0.1", self._port), timeout=20)

    def half_sent(self) -> socket.socket:
        """A connection with a request whose body never comes."""
        connection = self.connect()
        head = f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
        connection.sendall(head.encode())
        return connection

    def server_processes(self) -> list[int]:
        """The processes that answer requests now."""
        return [pid for pid in children_of(self.process.pid) if "spawn_main" in command_of(pid)]

    def count(self, series: str) -> float:
        """The value of a series over all processes."""
        for line in self.get("/metrics").body.decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        raise AssertionError(series)

    def stop(self, *, seconds: float = 20) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=20)
        started = time.monotonic()
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            read = response.read()
            seconds = time.monotonic() - started
            return Answer(response.status, dict(response.getheaders()), read, seconds)
        finally:
            connection.close()


@contextmanager
def serving(redis_url: str, folder: Path, **environ: str) -> Iterator[Served]:
    """An ingest that is ready, and stopped when the test has not done so."""
    log = folder / "ingest.log"
    with log.open("w") as stream:
        process = start(redis_url, folder, stream, **environ)
    served = Served(process, log)
    try:
        wait_until(served.starting)
        wait_until(served.ready)
        yield served
    finally:
        if process.poll() is None:
            served.stop()


def start(redis_url: str, folder: Path, stream: IO[str], **environ: str) -> subprocess.Popen[str]:
    """The command itself, whatever becomes of it."""
    settings = {
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "REDIS_URL": redis_url,
        "PAIDUP_INGEST_BIND": "127.0.0.1:0",
        "PAIDUP_DATA_DIR": str(folder / "data"),
        **environ,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "ingest"],
        env={**os.environ, **settings},
        stderr=stream,
        text=True,
    )
