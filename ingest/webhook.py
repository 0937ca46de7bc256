"""Check one request of Stripe in a fixed order, store it in the inbox, and only then answer.

    request -read-> bytes -verify-> Signed -parse-> Envelope -accept-> inbox -wake-> answer

Each check either returns its value or declines the request with a problem. Stripe gets a 2xx only
after the event is in the inbox on disk; it retries any non-2xx response for three days. A failed
wake-up does not change the answer, because the sweeper sends another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from time import perf_counter
from typing import IO, Final
from wsgiref.types import WSGIEnvironment

import structlog
from flask import Response
from prometheus_client import Counter
from redis.exceptions import RedisError
from werkzeug.wsgi import get_content_length

from billing.envelope import Envelope
from billing.errors import MalformedEvent
from ingest import problems
from ingest.ports import Acceptance, AcceptingInbox
from ingest.responses import Acknowledgement, WsgiResponse
from ingest.signature_counter import SignatureCounter
from runtime import signature
from runtime.broker import Publish
from runtime.error_text import describe
from runtime.event_body import parse
from runtime.http.circuit_breaker import CircuitBreaker, CircuitOpen
from runtime.http.client_address import client_address
from runtime.http.log_throttle import LogThrottle
from runtime.http.problems import Problem, new_instance, respond
from runtime.inbox.entries import InboxFull, LostAccepts
from runtime.inbox.replicas import TooFewReplicas
from runtime.settings import Settings
from runtime.telemetry import Metrics, secret_fingerprint

_JSON: Final = "application/json"
_LOG_LINES_A_SECOND: Final = 20

log = structlog.stdlib.get_logger(__name__)


class DeliveryDeclined(Exception):
    """A check failed; ``problem`` is for the sender and ``reason`` for the log."""

    def __init__(self, problem: Problem, reason: str = "") -> None:
        self.problem = problem
        self.reason = reason
        super().__init__(problem.title)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A body that Stripe signed just now, and the secret that it used."""

    body: bytes
    secret: str
    at: datetime


class Webhook:
    """The webhook endpoint; all threads of one server process share it."""

    def __init__(
        self,
        *,
        settings: Settings,
        inbox: AcceptingInbox,
        publish: Publish,
        metrics: Metrics,
        breaker: CircuitBreaker,
        clock: Callable[[], datetime],
        signatures: SignatureCounter,
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._publish = publish
        self._metrics = metrics
        self._breaker = breaker
        self._clock = clock
        self._signatures = signatures
        self._log_throttle = LogThrottle(_LOG_LINES_A_SECOND)
        self._declines = _declines(metrics)
        last_used = metrics.webhook_secret_last_used
        self._fingerprints = {each: secret_fingerprint(each) for each in settings.webhook_secrets}
        self._last_used = {
            secret: last_used.labels(name) for secret, name in self._fingerprints.items()
        }

    def receive(self, environ: WSGIEnvironment) -> WsgiResponse:
        """Answer one delivery. Counts each answer once."""
        try:
            body = _read_body(environ, self._settings.max_body_bytes)
            started = perf_counter()
            envelope = self._parse(self._verify(environ, body))
            acceptance = self._accept(envelope)
        except DeliveryDeclined as declined:
            return self._decline(declined, environ)
        self._wake(acceptance.wake)
        if acceptance.lost is not None:
            self._report_lost(acceptance.lost)
        answer = self._acknowledge(envelope, acceptance)
        self._metrics.webhook_ack_seconds.observe(perf_counter() - started)
        return answer

    def failed(self, error: Exception) -> Response:
        """Answer 503 for a bug in Paidup: nothing was acknowledged, so Stripe retries."""
        log.error("request failed", exc_info=error)
        self._metrics.webhook_received.labels("refused").inc()
        return respond(problems.UNAVAILABLE)

    def _verify(self, environ: WSGIEnvironment, body: bytes) -> Signed:
        try:
            header = signature.read_header(environ.get("HTTP_STRIPE_SIGNATURE"))
            text = _decode_utf8(body)
            secret = signature.verify(text, header, self._settings.webhook_secrets)
            now = self._clock()
            tolerance = self._settings.signature_tolerance_seconds
            signature.check_age(header, now=now, tolerance_seconds=tolerance)
        except signature.SignatureRefused as refused:
            problem, counter, label = self._declines[type(refused)]
            counter.labels(label).inc()
            if isinstance(refused, signature.SignatureMismatch):
                self._signatures.mismatch()
            raise DeliveryDeclined(problem, str(refused)) from None
        self._signatures.match(self._fingerprints[secret])
        return Signed(body=body, secret=secret, at=now)

    def _parse(self, signed: Signed) -> Envelope:
        self._last_used[signed.secret].set(signed.at.timestamp())
        try:
            return parse(signed.body)
        except MalformedEvent as malformed:
            raise _not_an_event(malformed.reason) from None

    def _accept(self, envelope: Envelope) -> Acceptance:
        try:
            self._breaker.check_closed()
            return self._inbox.accept(envelope)
        except (CircuitOpen, InboxFull) as refused:
            raise DeliveryDeclined(problems.UNAVAILABLE, str(refused)) from None
        except RedisError as error:
            if isinstance(error, TooFewReplicas):
                self._metrics.webhook_unreplicated.inc()
            self._breaker.failed(error)
            raise DeliveryDeclined(problems.UNAVAILABLE, describe(error)) from None

    def _wake(self, token: str | None) -> None:
        if token is None:
            return
        try:
            if not self._publish(token):
                self._metrics.wake_failures.inc()
                self._inbox.unregister(token)
        except Exception:  # the event is stored, so it must be acknowledged
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
            self._report_conflict(envelope)
        else:
            self._metrics.webhook_replay_block.labels("duplicate").inc()
            self._metrics.idempotent_hits.labels("ingest").inc()
        return Acknowledgement(200, document)

    def _report_lost(self, lost: LostAccepts) -> None:
        log.critical(
            "Redis went back in time: accepted events are lost",
            first_accept=lost.first or None,
            last_accept=lost.last,
            do="send the events of that time again from Stripe: see docs/operations.md",
        )

    def _report_conflict(self, envelope: Envelope) -> None:
        self._metrics.webhook_conflicts.inc()
        log.error(
            "event id used by two different events",
            event_id=envelope.event_id,
            event_type=envelope.type,
            fingerprint=envelope.fingerprint,
        )

    def _decline(self, declined: DeliveryDeclined, environ: WSGIEnvironment) -> Response:
        problem, instance = declined.problem, new_instance()
        refused = problem is problems.UNAVAILABLE
        self._metrics.webhook_received.labels("refused" if refused else "invalid").inc()
        if self._log_throttle.take():
            log.warning(
                "webhook declined",
                problem=problem.code,
                status=problem.status,
                reason=declined.reason,
                instance=instance,
                client=str(self._client(environ)),
                lines_left_out=self._log_throttle.left_out(),
            )
        return respond(problem, instance=instance)

    def _client(self, environ: WSGIEnvironment) -> object:
        remote, forwarded = environ.get("REMOTE_ADDR"), environ.get("HTTP_X_FORWARDED_FOR", "")
        return client_address(remote, forwarded, self._settings.trusted_proxies)


def _read_body(environ: WSGIEnvironment, most: int) -> bytes:
    """Return the whole body. The server ends the stream at its end, announced or not."""
    kind = str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
    if kind not in {"", _JSON}:
        raise DeliveryDeclined(problems.UNSUPPORTED_MEDIA_TYPE)
    announced = get_content_length(environ) or 0
    if announced > most:
        raise DeliveryDeclined(problems.BODY_TOO_LARGE)
    body = _read_stream(environ["wsgi.input"], most + 1)
    if len(body) > most:
        raise DeliveryDeclined(problems.BODY_TOO_LARGE)
    if len(body) < announced:
        raise DeliveryDeclined(problems.BODY_INCOMPLETE)
    return body


def _read_stream(stream: IO[bytes], most: int) -> bytes:
    parts: list[bytes] = []
    missing = most
    while missing > 0 and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _decode_utf8(body: bytes) -> str:
    # Stripe signs text. The library decodes it first, and raises for invalid UTF-8.
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise _not_an_event("the body is not UTF-8") from None


def _not_an_event(reason: str) -> DeliveryDeclined:
    """Say in the response what is wrong: the reasons come from a closed list and echo nothing."""
    says = f"The body is not a Stripe event: {reason}. {problems.NOT_AN_EVENT.detail}"
    return DeliveryDeclined(replace(problems.NOT_AN_EVENT, detail=says), reason)


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
