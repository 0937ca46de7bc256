"""Deliver single events over HTTP as Stripe does.

The response is returned as it is; callers judge it.
"""

import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from http.client import HTTPException, HTTPResponse

from ops.send.endpoint import Endpoint

ATTEMPTS = 8
LONGEST_WAIT = 5.0
"""Seconds. Stripe retries hours later, which is too long for a person at a terminal."""

BUSY = 503
ACCEPTED, DUPLICATE = 202, 200
UNREACHABLE = 0
"""The status of a request without a response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointResponse:
    """A response and the seconds it took; ``attempts`` counts it and the 503s before it."""

    status: int
    body: bytes
    seconds: float
    attempts: int = 1
    retry_after: float | None = None

    @property
    def document(self) -> object:
        """The body as JSON, None if it is not JSON."""
        try:
            parsed: object = json.loads(self.body)
        except ValueError:
            return None
        return parsed

    def field(self, name: str) -> object:
        """Return a field of the body; None if the body is no JSON object that has it."""
        document = self.document
        return document.get(name) if isinstance(document, dict) else None

    @property
    def said(self) -> str:
        """The detail of a problem document, else the start of the body."""
        return str(self.field("detail") or self.body[:200].decode(errors="replace"))

    @property
    def taken(self) -> bool:
        """True if the endpoint has stored the event."""
        return self.status in (ACCEPTED, DUPLICATE)


class DeliveryClient:
    """Delivers bodies to one endpoint over one connection; not safe for several threads."""

    def __init__(self, endpoint: Endpoint, secret: str) -> None:
        self._endpoint = endpoint
        self.secret = secret
        self._connection = endpoint.connect()

    def deliver(
        self, body: bytes, *, pause: Callable[[float], object] = time.sleep
    ) -> EndpointResponse:
        """Send until the event is accepted or refused, at most ``ATTEMPTS`` times.

        ``pause`` waits between two attempts; if it returns True, there is no further one.
        """
        answer = self.post(body)
        for attempt in range(2, ATTEMPTS + 1):
            if answer.status not in (BUSY, UNREACHABLE):
                break
            if pause(min(answer.retry_after or 1.0, LONGEST_WAIT)):
                break
            answer = replace(self.post(body), attempts=attempt)
        return answer

    def post(self, body: bytes, *, signature: str | None = None) -> EndpointResponse:
        """Send once, signed now unless a signature is given; omit an empty one."""
        header = sign(body, self.secret, int(time.time())) if signature is None else signature
        begun = time.perf_counter()
        try:
            return self._exchange(body, header, begun)
        except (HTTPException, OSError) as error:
            self._connection.close()
            said = str(error).encode()
            return EndpointResponse(
                status=UNREACHABLE, body=said, seconds=time.perf_counter() - begun
            )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _exchange(self, body: bytes, signature: str, begun: float) -> EndpointResponse:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "paidup-send",
            **({"Stripe-Signature": signature} if signature else {}),
        }
        try:
            response = self._request(body, headers)
        except ConnectionError:
            # The server may close an idle connection just as we use it: that is no failure.
            self._connection.close()
            response = self._request(body, headers)
        said = response.read()
        return EndpointResponse(
            status=response.status,
            body=said,
            seconds=time.perf_counter() - begun,
            retry_after=_seconds(response.getheader("Retry-After")),
        )

    def _request(self, body: bytes, headers: Mapping[str, str]) -> HTTPResponse:
        self._connection.request("POST", self._endpoint.path, body, headers)
        return self._connection.getresponse()


def _seconds(retry_after: str | None) -> float | None:
    try:
        return float(retry_after) if retry_after else None
    except ValueError:
        return None


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """Return the ``Stripe-Signature`` header for a body signed at ``timestamp``."""
    signed = b"%d." % timestamp + body
    digest = hmac.new(secret.encode(), signed, sha256).hexdigest()
    return f"t={timestamp},v1={digest}"
