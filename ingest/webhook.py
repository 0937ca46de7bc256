"""One request of Stripe: checked in a fixed order, put into the inbox, and only then answered.

    request -body-> bytes -signed-> text -parse-> Envelope -accept-> inbox -wake-> answer

Each check either passes its value on or declines the request with a problem. A 2xx is given only
when the event lies in the inbox on disk. Whether a worker could be woken changes no answer: the
sweeper wakes one anyway.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import IO, Any, Final, Protocol
from wsgiref.types import WSGIEnvironment

import structlog
from flask import Response
from prometheus_client import Counter
from redis.exceptions import RedisError
from werkzeug.wsgi import get_content_length

from billing.envelope import Envelope
from billing.errors import MalformedEvent
from ingest import problems, signature
from ingest.client_address import client_address
from ingest.responses import Acknowledgement, Answer
from runtime.event_body import parse
from runtime.http.circuit_breaker import Gate, Shut
from runtime.http.log_throttle import Ration
from runtime.http.problems import Problem, new_instance, respond
from runtime.inbox.entries import InboxFull
from runtime.settings import Settings
from runtime.telemetry import Metrics, secret_fingerprint

_JSON: Final = "application/json"
_LOG_LINES_A_SECOND: Final = 20

log = structlog.stdlib.get_logger(__name__)


class Acceptance(Protocol):
    """What the inbox says of an event that it now keeps, or kept already."""

    @property
    def status(self) -> str:
        """``accepted``, ``duplicate`` or ``conflict``."""
        ...

    @property
    def wake(self) -> str | None:
        """The registration that this process owes a wake-up for."""
        ...

    @property
    def result(self) -> Mapping[str, Any] | None:
        """What became of a duplicate's first delivery, once it is settled."""
        ...


class Accepts(Protocol):
    """The part of the inbox that ingest uses."""

    def accept(self, envelope: Envelope) -> Acceptance:
        """Keep the event on disk, or find that it is known."""
        ...

    def unregister(self, token: str) -> None:
        """Take back a registration whose wake-up could not be published."""
        ...


class Publishes(Protocol):
    """Tells workers that something is due."""

    def publish(self, token: str) -> bool:
        """Whether the broker took the wake-up; bounded in time, never raises for the broker."""
        ...


class Declined(Exception):
    """A check failed: what the sender is told, and what the log says beside it."""

    def __init__(self, problem: Problem, reason: str = "") -> None:
        self.problem = problem
        self.reason = reason
        super().__init__(problem.title)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A body that Stripe signed just now, and the secret that proves it."""

    body: bytes
    secret: str
    at: datetime


class Webhook:
    """The endpoint; one for each server process, used by all its threads."""

    def __init__(
        self,
        *,
        settings: Settings,
        inbox: Accepts,
        wakes: Publishes,
        metrics: Metrics,
        gate: Gate,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._wakes = wakes
        self._metrics = metrics
        self._gate = gate
        self._clock = clock
        self._log_ration = Ration(_LOG_LINES_A_SECOND)
        self._declines = _declines(metrics)
        last_used = metrics.webhook_secret_last_used
        self._last_used = {
            secret: last_used.labels(secret_fingerprint(secret))
            for secret in settings.webhook_secrets
        }

    def receive(self, environ: WSGIEnvironment) -> Answer:
        """Answer one delivery with what became of it; every answer is counted once."""
        try:
            body = _body(environ, self._settings.max_body_bytes)
            started = perf_counter()
            envelope = self._opened(self._signed(environ, body))
            acceptance = self._accepted(envelope)
        except Declined as declined:
            return self._decline(declined, environ)
        self._wake(acceptance.wake)
        answer = self._acknowledge(envelope, acceptance)
        self._metrics.webhook_ack_seconds.observe(perf_counter() - started)
        return answer

    def failed(self, error: Exception) -> Response:
        """Answer for a bug as for a dead Redis: nothing was promised, so Stripe sends it again."""
        log.error("request failed", exc_info=error)
        self._metrics.webhook_received.labels("refused").inc()
        return respond(problems.UNAVAILABLE)

    def _signed(self, environ: WSGIEnvironment, body: bytes) -> Signed:
        try:
            header = signature.read_header(environ.get("HTTP_STRIPE_SIGNATURE"))
            text = _utf8(body)
            secret = signature.verify(text, header, self._settings.webhook_secrets)
            now = self._clock()
            tolerance = self._settings.signature_tolerance_seconds
            signature.check_age(header, now=now, tolerance_seconds=tolerance)
        except signature.SignatureRefused as refused:
            problem, counter, label = self._declines[type(refused)]
            counter.labels(label).inc()
            raise Declined(problem, str(refused)) from None
        return Signed(body=body, secret=secret, at=now)

    def _opened(self, signed: Signed) -> Envelope:
        self._last_used[signed.secret].set(signed.at.timestamp())
        try:
            return parse(signed.body)
        except MalformedEvent as malformed:
            raise Declined(problems.NOT_AN_EVENT, malformed.reason) from None

    def _accepted(self, envelope: Envelope) -> Acceptance:
        try:
            self._gate.admit()
            return self._inbox.accept(envelope)
        except (Shut, InboxFull) as refused:
            raise Declined(problems.UNAVAILABLE, str(refused)) from None
        except RedisError as error:
            self._gate.failed(error)
            raise Declined(problems.UNAVAILABLE, type(error).__name__) from None

    def _wake(self, token: str | None) -> None:
        if token is None:
            return
        try:
            if not self._wakes.publish(token):
                self._metrics.wake_failures.inc()
                self._inbox.unregister(token)
        except Exception:  # the event is safe, and 503 would be a lie
            log.exception("wake-up failed")

    def _acknowledge(self, envelope: Envelope, acceptance: Acceptance) -> Acknowledgement:
        document: dict[str, object] = {"status": "accepted", "event_id": envelope.event_id}
        if acceptance.status == "accepted":
            self._metrics.webhook_received.labels("accepted").inc()
            return Acknowledgement(202, document)
        document |= {"status": "duplicate", "result": acceptance.result}
        self._metrics.webhook_received.labels("duplicate").inc()
        if acceptance.status == "conflict":
            document["conflict"] = True
            self._alarm(envelope)
        else:
            self._metrics.webhook_replay_block.labels("duplicate").inc()
            self._metrics.idempotent_hits.labels("ingest").inc()
        return Acknowledgement(200, document)

    def _alarm(self, envelope: Envelope) -> None:
        self._metrics.webhook_conflicts.inc()
        log.error(
            "event id used twice",
            event_id=envelope.event_id,
            event_type=envelope.type,
            fingerprint=envelope.fingerprint,
        )

    def _decline(self, declined: Declined, environ: WSGIEnvironment) -> Response:
        problem, instance = declined.problem, new_instance()
        refused = problem is problems.UNAVAILABLE
        self._metrics.webhook_received.labels("refused" if refused else "invalid").inc()
        if self._log_ration.take():
            log.warning(
                "webhook declined",
                problem=problem.code,
                status=problem.status,
                reason=declined.reason,
                instance=instance,
                client=str(self._client(environ)),
                lines_left_out=self._log_ration.left_out(),
            )
        return respond(problem, instance=instance)

    def _client(self, environ: WSGIEnvironment) -> object:
        remote, forwarded = environ.get("REMOTE_ADDR"), environ.get("HTTP_X_FORWARDED_FOR", "")
        return client_address(remote, forwarded, self._settings.trusted_proxies)


def _body(environ: WSGIEnvironment, most: int) -> bytes:
    """The whole body; the server ends the stream where the body ends, announced or not."""
    kind = str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
    if kind not in {"", _JSON}:
        raise Declined(problems.UNSUPPORTED_MEDIA_TYPE)
    announced = get_content_length(environ) or 0
    if announced > most:
        raise Declined(problems.BODY_TOO_LARGE)
    body = _read(environ["wsgi.input"], most + 1)
    if len(body) > most:
        raise Declined(problems.BODY_TOO_LARGE)
    if len(body) < announced:
        raise Declined(problems.BODY_INCOMPLETE)
    return body


def _read(stream: IO[bytes], most: int) -> bytes:
    parts: list[bytes] = []
    missing = most
    while missing > 0 and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _utf8(body: bytes) -> str:
    # Stripe signs text: the library decodes first, and raises on what cannot be decoded.
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise Declined(problems.NOT_AN_EVENT, "it is not UTF-8") from None


Declines = Mapping[type[signature.SignatureRefused], tuple[Problem, Counter, str]]


def _declines(metrics: Metrics) -> Declines:
    invalid, replayed = metrics.webhook_invalid_sig, metrics.webhook_replay_block
    return {
        signature.SignatureMissing: (problems.SIGNATURE_MISSING, invalid, "missing"),
        signature.SignatureUnreadable: (problems.SIGNATURE_MALFORMED, invalid, "malformed"),
        signature.SignatureMismatch: (problems.SIGNATURE_MISMATCH, invalid, "mismatch"),
        signature.TimestampStale: (problems.TIMESTAMP_STALE, replayed, "stale_timestamp"),
        signature.TimestampFuture: (problems.TIMESTAMP_FUTURE, replayed, "future_timestamp"),
    }
