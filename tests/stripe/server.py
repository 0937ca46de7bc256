"""Stripe's API on loopback: a real HTTP server that answers from fake accounts, or fails.

``Date`` is the true time unless a test sets the clock. The server records each request with its
headers. A fault lasts until ``works`` is called, or for one request if it is in ``next_faults``.
"""

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ops.samples.api_shapes import Shape
from tests.stripe.account import FakeStripeAccount, encoded_answer
from tests.stripe.keys import (
    ApiKey,
    find_account,
    find_key,
    refuse_without_right,
    similar_object,
)
from tests.stripe.limits import RateLimits
from tests.stripe.lists import Asked
from tests.stripe.queries import COLLECTIONS
from tests.stripe.refusals import StripeRefusal
from tests.stripe.state import FOREVER, moment

KEY: Final = "sk_test_our_own_key_for_tests"
LIVE_KEY: Final = "sk_live_our_own_key_for_tests"
WEBHOOK_SECRET: Final = "whsec_our_own_secret_for_tests"
_BASIL: Final = "2025-03-31"
"""The release in which nearly every field moved that ever did."""

Headers = dict[str, str | None]


@dataclass(frozen=True)
class ApiRequest:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    method: str = "GET"
    body: str = ""

    @property
    def endpoint(self) -> str:
        """The request without ids, as Stripe limits it."""
        path = urlsplit(self.path).path
        if path.removeprefix("/v1/") in COLLECTIONS:
            return f"{self.method} {path}"
        owner, _, _ = path.rpartition("/")
        known = owner.removeprefix("/v1/") in COLLECTIONS
        return f"{self.method} {owner}/{{id}}" if known else f"{self.method} {path}"


@dataclass(frozen=True, kw_only=True)
class ApiReply:
    """One answer; ``cut`` ends the connection half-way, ``dropped`` before the first byte."""

    status: int = 200
    body: bytes = b""
    headers: Headers = field(default_factory=dict)
    cut: bool = False
    dropped: bool = False


def failing(status: int, after: str | None = None, **error: Any) -> ApiReply:
    """Return an answer with an error; ``after`` is the ``Retry-After``."""
    body = json.dumps({"error": {"message": "as asked", **error}}).encode()
    return ApiReply(status=status, body=body, headers={"Retry-After": after})


@dataclass
class FakeApi:
    """The behaviour of the server; a test may change it at any time."""

    account: FakeStripeAccount = field(default_factory=FakeStripeAccount)
    others: list[FakeStripeAccount] = field(default_factory=list)
    """Accounts of the other mode, and those of Connect or an organisation."""
    keys: list[ApiKey] = field(default_factory=lambda: [ApiKey(KEY), ApiKey(LIVE_KEY)])
    clock: Callable[[], float] = time.time
    latency: float = 0.0
    """Seconds that each request takes on its way."""
    limits: RateLimits | None = None
    shows_the_present: bool = True
    """If False, objects are as they were at the clock's time."""
    before_each: Callable[[ApiRequest], object] = lambda _: None
    """Called with each request before it is answered, as to let the account change meanwhile."""
    next_faults: deque[ApiReply | None] = field(default_factory=deque)
    """The answers to the next requests, one each; None lets one work."""
    status: int | None = None
    """The status of every response, if set."""
    error: dict[str, Any] = field(default_factory=dict)
    headers: Headers = field(default_factory=dict)
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
        self.next_faults.clear()
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
    def counted(self, request: ApiRequest) -> Iterator[None]:
        """Count one request until the block ends."""
        with self._lock:
            self.asked.append(request)
            self.at_once += 1
            self.max_at_once = max(self.max_at_once, self.at_once)
        try:
            yield
        finally:
            with self._lock:
                self.at_once -= 1

    def reply(self, request: ApiRequest) -> ApiReply:
        """Return the answer to a request for the current behaviour."""
        self.before_each(request)
        with self._lock:
            fault = self.next_faults.popleft() if self.next_faults else None
        if fault is not None and not fault.cut:
            return fault
        if self.body is not None:
            return ApiReply(status=self.status or 200, body=self.body, headers=self.headers)
        if self.status is not None:
            failure = failing(self.status, **self.error)
            return ApiReply(status=self.status, body=failure.body, headers=self.headers)
        try:
            body = self._answer(request)
        except StripeRefusal as refusal:
            text = json.dumps(refusal.body).encode()
            return ApiReply(
                status=refusal.status, body=text, headers={**self.headers, **refusal.headers}
            )
        return ApiReply(body=body, headers=self.headers, cut=fault is not None)

    def _answer(self, request: ApiRequest) -> bytes:
        key = find_key(self.keys, request.headers.get("Authorization", ""))
        accounts = [self.account, *self.others]
        account = find_account(key, accounts, request.headers)
        if self.limits is not None:
            self.limits.admit(
                account.id, request.endpoint, livemode=key.livemode, at_once=self.at_once
            )
        path = urlsplit(request.path).path
        refuse_without_right(key, account.id, request.method, path)
        now = self.clock()
        if request.method != "GET":
            return encoded_answer(account.write(request.method, request.path, request.body, now))
        at = FOREVER if self.shows_the_present else moment(now)
        asked = Asked(at=at, now=now, shape=shape_of(request.headers.get("Stripe-Version")))
        try:
            return encoded_answer(account.respond(request.path, asked))
        except StripeRefusal as refusal:
            stripe_id = unquote(path.rpartition("/")[2])
            raise similar_object(refusal, stripe_id, key, accounts) from refusal


def shape_of(version: str | None) -> Shape:
    """Return the shape of objects in an API version, the newest if a request names none."""
    return Shape.OLD if version is not None and version < _BASIL else Shape.NEW


class StripeApiHandler(BaseHTTPRequestHandler):
    api: FakeApi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = ApiRequest(
            self.path,
            {name: str(value) for name, value in self.headers.items()},
            self.command,
            self.rfile.read(length).decode(),
        )
        with self.api.counted(request):
            try:
                self._respond(request)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    def do_POST(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def _respond(self, request: ApiRequest) -> None:
        if (hanging := self.api.hanging) is not None:
            if self.api.drips:
                self._drip(hanging)
                return
            hanging.wait(60)
        if self.api.latency:
            time.sleep(self.api.latency)
        reply = self.api.reply(request)
        if reply.dropped:
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        self._headers(len(reply.body), reply.headers)
        self.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        self.close_connection |= reply.cut

    def _headers(self, length: int, given: Headers) -> None:
        headers: Headers = {
            "Date": formatdate(self.api.clock(), usegmt=True),
            "Request-Id": "req_1",
            "Content-Type": "application/json",
            "Content-Length": str(length),
            **given,
        }
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _drip(self, hanging: threading.Event) -> None:
        self.send_response_only(200)
        self._headers(1_000_000, self.api.headers)
        while not hanging.wait(0.05):
            self.wfile.write(b" ")
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class StripeServer(ThreadingHTTPServer):
    """A server that says nothing about a client that was killed."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(*, port: int = 0, **given: Any) -> Iterator[FakeApi]:
    """Run the server on a port of loopback, 0 for a free one, until the block ends."""
    api = FakeApi(**given)
    handler = type("Handler", (StripeApiHandler,), {"api": api})
    server = StripeServer(("127.0.0.1", port), handler)
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
