"""Sends events over HTTP the way Stripe does: signed anew for each attempt, patient with a 503.

One keep-alive connection to a thread. What the endpoint answered is what gets counted: nothing
here judges it.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address
from threading import Event as Flag
from threading import Lock
from urllib.parse import urlsplit

from ops.errors import OpsError
from ops.samples.signing import sign
from ops.samples.story import Event

TIMEOUT = 10.0
ATTEMPTS = 8
LONGEST_WAIT = 5.0
"""Stripe would come back hours later; whoever looks at a progress bar would not."""

BUSY = 503
ACCEPTED, DUPLICATE = 202, 200
UNREACHABLE = 0
"""The status of a request that got no answer."""


class UnusableUrl(OpsError):
    """The endpoint's URL is not one that events can be sent to."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"{url!r} is no webhook URL; it looks like http://127.0.0.1:8000/webhooks/stripe"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where webhooks go."""

    url: str
    scheme: str
    host: str
    port: int | None
    path: str

    @classmethod
    def at(cls, url: str) -> "Endpoint":
        """Take a URL apart.

        Raises:
            UnusableUrl: if it names no host, or is neither http nor https.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UnusableUrl(url) from error
        if parts.scheme not in ("http", "https") or not host or not url.isascii():
            raise UnusableUrl(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(url=url, scheme=parts.scheme, host=host, port=port, path=target)

    @property
    def is_loopback(self) -> bool:
        """True only where nobody else's server can be meant."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def connect(self) -> HTTPConnection:
        """A connection, not yet opened."""
        kind = HTTPSConnection if self.scheme == "https" else HTTPConnection
        return kind(self.host, self.port, timeout=TIMEOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the endpoint said, and how long it took; ``attempts`` counts the 503s before it."""

    status: int
    body: bytes
    seconds: float
    attempts: int = 1
    retry_after: float | None = None

    @property
    def document(self) -> object:
        """The body as JSON, None where it is none."""
        try:
            parsed: object = json.loads(self.body)
        except ValueError:
            return None
        return parsed

    @property
    def said(self) -> str:
        """The reason in a problem document, else the beginning of whatever came."""
        document = self.document
        if isinstance(document, dict) and (detail := document.get("detail")):
            return str(detail)
        return self.body[:200].decode(errors="replace")

    @property
    def taken(self) -> bool:
        """True if the endpoint has the event for good."""
        return self.status in (ACCEPTED, DUPLICATE)


class Courier:
    """Carries bodies to one endpoint over one connection; not for several threads at once."""

    def __init__(self, endpoint: Endpoint, secret: str) -> None:
        self._endpoint = endpoint
        self.secret = secret
        self._connection = endpoint.connect()

    def deliver(self, body: bytes, *, stop: Flag | None = None) -> Answer:
        """Send until it is taken, refused for good, or patience ends."""
        waiting = stop or Flag()
        answer = self.post(body)
        for attempt in range(2, ATTEMPTS + 1):
            if answer.status not in (BUSY, UNREACHABLE) or waiting.is_set():
                break
            waiting.wait(min(answer.retry_after or 1.0, LONGEST_WAIT))
            again = self.post(body)
            answer = Answer(
                status=again.status,
                body=again.body,
                seconds=again.seconds,
                attempts=attempt,
                retry_after=again.retry_after,
            )
        return answer

    def post(self, body: bytes, *, signature: str | None = None) -> Answer:
        """Send once, signed now unless a signature is given; an empty one is left out."""
        header = sign(body, self.secret, int(time.time())) if signature is None else signature
        begun = time.perf_counter()
        try:
            return self._exchange(body, header, begun)
        except (HTTPException, OSError) as error:
            self._connection.close()
            said = str(error).encode()
            return Answer(status=UNREACHABLE, body=said, seconds=time.perf_counter() - begun)

    def close(self) -> None:
        """Give the connection up."""
        self._connection.close()

    def _exchange(self, body: bytes, signature: str, begun: float) -> Answer:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "paidup-send",
            **({"Stripe-Signature": signature} if signature else {}),
        }
        try:
            self._connection.request("POST", self._endpoint.path, body, headers)
            response = self._connection.getresponse()
        except ConnectionError:
            # The server may close an idle connection just as we use it: that says nothing.
            self._connection.close()
            self._connection.request("POST", self._endpoint.path, body, headers)
            response = self._connection.getresponse()
        said = response.read()
        return Answer(
            status=response.status,
            body=said,
            seconds=time.perf_counter() - begun,
            retry_after=_seconds(response.getheader("Retry-After")),
        )


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a run came to, while it runs and when it is over."""

    answers: Counter[int] = field(default_factory=Counter)
    retries: int = 0
    latencies: list[float] = field(default_factory=list)
    refused: list[tuple[str, Answer]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        """How many deliveries have an answer, or will never have one."""
        return self.answers.total()

    @property
    def all_taken(self) -> bool:
        """True if the endpoint has everything that was sent."""
        return self.answers.keys() <= {ACCEPTED, DUPLICATE}

    def count(self, event: Event, answer: Answer) -> None:
        """Take one delivery into the account; the first refusals are kept to be shown."""
        self.answers[answer.status] += 1
        self.retries += answer.attempts - 1
        self.latencies.append(answer.seconds)
        if not answer.taken and len(self.refused) < 5:  # noqa: PLR2004 - enough to see why
            self.refused.append((event.id, answer))

    def percentile(self, share: float) -> float:
        """The latency, in milliseconds, that this share of the requests did not exceed."""
        ordered = sorted(self.latencies)
        if not ordered:
            return 0.0
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def send_all(
    events: Iterable[Event],
    endpoint: Endpoint,
    secret: str,
    *,
    concurrency: int = 1,
    rate: float | None = None,
    on_answer: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Send events in their order, over so many connections and at most so many a second."""
    tally, lock, stop, begun = Tally(), Lock(), Flag(), time.monotonic()
    due = _paced(events, rate, begun)

    def carry() -> None:
        courier = Courier(endpoint, secret)
        while not stop.is_set():
            with lock:
                at, event = next(due, (0.0, None))
            if event is None:
                break
            stop.wait(max(0.0, at - time.monotonic()))
            answer = courier.deliver(event.body, stop=stop)
            with lock:
                tally.count(event, answer)
                on_answer(tally)
        courier.close()

    with ThreadPoolExecutor(max_workers=concurrency) as threads:
        running = [threads.submit(carry) for _ in range(concurrency)]
        try:
            for thread in running:
                thread.result()
        finally:
            stop.set()
    tally.seconds = time.monotonic() - begun
    return tally


def _paced(
    events: Iterable[Event], rate: float | None, begun: float
) -> Iterator[tuple[float, Event | None]]:
    for number, event in enumerate(events):
        yield (begun + number / rate if rate else begun), event


def _seconds(retry_after: str | None) -> float | None:
    try:
        return float(retry_after) if retry_after else None
    except ValueError:
        return None
