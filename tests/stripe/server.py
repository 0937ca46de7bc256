"""Stripe's API on loopback: a real HTTP server that answers from a fake account, or fails.

``Date`` is the true time unless a test sets the clock. The server records each request with its
headers. A fault lasts until ``works`` is called.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.stripe.account import FakeStripeAccount, encoded_answer
from tests.stripe.lists import Asked
from tests.stripe.refusals import StripeRefusal
from tests.stripe.state import FOREVER, moment

KEY = "sk_test_our_own_key_for_tests"
WEBHOOK_SECRET = "whsec_our_own_secret_for_tests"


@dataclass(frozen=True)
class ApiRequest:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]


@dataclass
class FakeApi:
    """The behaviour of the server; a test may change it at any time."""

    account: FakeStripeAccount = field(default_factory=FakeStripeAccount)
    clock: Callable[[], float] = time.time
    latency: float = 0.0
    """Seconds that each request takes on its way."""
    shows_the_present: bool = True
    """If False, objects are as they were at the clock's time."""
    status: int | None = None
    """The status of every response, if set."""
    error: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str | None] = field(default_factory=dict)
    body: bytes | None = None
    hanging: threading.Event | None = None
    """Requests wait until it is set; with ``drips`` they get a byte every 50 ms."""
    drips: bool = False
    asked: list[ApiRequest] = field(default_factory=list)
    at_once: int = 0
    max_at_once: int = 0
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def works(self) -> None:
        """End every fault."""
        self.status, self.error, self.headers, self.body = None, {}, {}, None
        if self.hanging is not None:
            self.hanging.set()
        self.hanging, self.drips = None, False

    def fails(self, status: int, after: str | None = None, **error: str) -> None:
        """Answer everything with an error; ``after`` is the ``Retry-After``."""
        self.status, self.error, self.headers = status, error, {"Retry-After": after}

    def hangs(self) -> None:
        """Answer nothing."""
        self.hanging = threading.Event()

    def paths(self) -> list[str]:
        """Return the paths of the requests, in order."""
        return [each.path for each in self.asked]

    @contextmanager
    def counted(self, path: str, headers: dict[str, str]) -> Iterator[None]:
        """Count one request until the block ends."""
        with self._lock:
            self.asked.append(ApiRequest(path, headers))
            self.at_once += 1
            self.max_at_once = max(self.max_at_once, self.at_once)
        try:
            yield
        finally:
            with self._lock:
                self.at_once -= 1

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Return status and body for the current behaviour."""
        if self.body is not None:
            return self.status or 200, self.body
        if self.status is not None:
            return self.status, json.dumps(
                {"error": {"message": "as asked", **self.error}}
            ).encode()
        if authorization != f"Bearer {KEY}":
            error = {"type": "invalid_request_error", "message": "Invalid API Key provided"}
            return 401, json.dumps({"error": error}).encode()
        at = FOREVER if self.shows_the_present else moment(self.clock())
        try:
            answered = self.account.respond(path, Asked(at=at, now=self.clock()))
        except StripeRefusal as refusal:
            return refusal.status, json.dumps(refusal.body).encode()
        return 200, encoded_answer(answered)


class StripeApiHandler(BaseHTTPRequestHandler):
    api: FakeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with self.api.counted(self.path, dict(self.headers)):
            try:
                self._respond()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    def _respond(self) -> None:
        if (hanging := self.api.hanging) is not None:
            if self.api.drips:
                self._drip(hanging)
                return
            hanging.wait(60)
        if self.api.latency:
            time.sleep(self.api.latency)
        status, body = self.api.answer(self.path, self.headers.get("Authorization", ""))
        self.send_response_only(status)
        self._headers(len(body))
        self.wfile.write(body)

    def _headers(self, length: int) -> None:
        headers: dict[str, str | None] = {
            "Date": formatdate(self.api.clock(), usegmt=True),
            "Request-Id": "req_1",
            "Content-Type": "application/json",
            "Content-Length": str(length),
            **self.api.headers,
        }
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _drip(self, hanging: threading.Event) -> None:
        self.send_response_only(200)
        self._headers(1_000_000)
        while not hanging.wait(0.05):
            self.wfile.write(b" ")
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serving(*, port: int = 0, **given: Any) -> Iterator[FakeApi]:
    """Run the server on a port of loopback, 0 for a free one, until the block ends."""
    api = FakeApi(**given)
    server = ThreadingHTTPServer(
        ("127.0.0.1", port), type("Handler", (StripeApiHandler,), {"api": api})
    )
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="stripe", daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.works()
        server.shutdown()
        server.server_close()
        thread.join()
