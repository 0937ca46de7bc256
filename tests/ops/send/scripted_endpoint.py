"""An endpoint for the tests of the sender, which responds from a script and records requests."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import monotonic
from typing import NamedTuple


class ReceivedRequest(NamedTuple):
    """One received request."""

    body: bytes
    signature: str
    at: float


class Scripted(ThreadingHTTPServer):
    """Responds with the statuses of its script, then always with 202."""

    def __init__(self, script: Iterable[int]) -> None:
        super().__init__(("127.0.0.1", 0), _ScriptedHandler)
        self.script = list(script)
        self.received: list[ReceivedRequest] = []
        self.lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/webhooks/stripe"


class _ScriptedHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for an answer, or the client's delayed ACK costs 40 ms
    server: Scripted

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            signature = self.headers["Stripe-Signature"]
            self.server.received.append(ReceivedRequest(body, signature, monotonic()))
            status = self.server.script.pop(0) if self.server.script else 202
        said = b'{"detail": "the script says so"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        if status == 503:
            self.send_header("Retry-After", "0.2")
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Log nothing."""


@contextmanager
def scripted(*statuses: int) -> Iterator[Scripted]:
    """Run a server for one test."""
    server = Scripted(statuses)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
