"""Serve one request for a user's entitlements.

    request -token-> name -rate limit-> admitted -read-> document -ETag-> 200 or 304

The circuit breaker decides whether PostgreSQL is asked. The ETag is a hash of the document, so it
changes exactly when the document does; a document contains no time of its own creation.
"""

import hashlib
from collections.abc import Callable, Sequence
from math import ceil
from time import perf_counter
from typing import Final

import structlog
from flask import Request, Response
from sqlalchemy.exc import SQLAlchemyError

from ops.console import problems
from ops.console.rate_limit import Bucket
from ops.console.tokens import Token, find_token_name
from runtime.http.circuit_breaker import CircuitBreaker, CircuitOpen
from runtime.http.log_throttle import LogThrottle
from runtime.http.problems import Problem, new_instance, respond
from runtime.telemetry import Metrics

_CACHING: Final = ("Cache-Control", "private, no-cache")
_CHALLENGE: Final = 'Bearer realm="paidup"'
_LOG_LINES_A_SECOND: Final = 20

log = structlog.stdlib.get_logger(__name__)


class ReadDeclined(Exception):
    """Raised to refuse a read, with its problem document, metric label and reason for the log."""

    def __init__(
        self,
        problem: Problem,
        result: str,
        *,
        reason: str = "",
        header: tuple[str, str] | None = None,
    ) -> None:
        self.problem = problem
        self.result = result
        self.reason = reason
        self.headers = [header] if header else []
        super().__init__(problem.title)


ReadDocument = Callable[[str], bytes | None]
"""Returns the document about a user id, None for an unknown user."""


class ReadApi:
    """The read endpoint; one for each server process, shared by all its threads."""

    def __init__(
        self,
        *,
        read_document: ReadDocument,
        tokens: Sequence[Token],
        rate: int,
        metrics: Metrics,
        breaker: CircuitBreaker,
        monotonic: Callable[[], float],
        time: Callable[[], float],
    ) -> None:
        self._read_document = read_document
        self._tokens = tokens
        self._buckets = {token.name: Bucket(rate, clock=monotonic) for token in tokens}
        self._metrics = metrics
        self._breaker = breaker
        self._time = time
        self._log_throttle = LogThrottle(_LOG_LINES_A_SECOND)

    def entitlements(self, request: Request, user_id: str) -> Response:
        """Respond with the user's entitlements, and count the response once."""
        started = perf_counter()
        try:
            self._admit(request)
            document = self._document(user_id)
        except ReadDeclined as declined:
            return self._decline(declined)
        answer = self._answer(request, document)
        self._metrics.read_seconds.observe(perf_counter() - started)
        return answer

    def _admit(self, request: Request) -> None:
        presented = _presented(request.headers.get("Authorization", ""))
        name = find_token_name(self._tokens, presented) if presented else None
        if name is None:
            raise _stranger(presented)
        self._metrics.console_token_last_used.labels(name).set(self._time())
        if wait := self._buckets[name].take():
            header = ("Retry-After", str(ceil(wait)))
            raise ReadDeclined(problems.TOO_MANY_REQUESTS, "limited", reason=name, header=header)

    def _document(self, user_id: str) -> bytes:
        try:
            self._breaker.check_closed()
            document = self._read_document(user_id)
        except CircuitOpen as refusal:
            raise ReadDeclined(problems.UNAVAILABLE, "unavailable", reason=str(refusal)) from None
        except SQLAlchemyError as error:
            self._breaker.failed(error)
            reason = type(getattr(error, "orig", error)).__name__
            raise ReadDeclined(problems.UNAVAILABLE, "unavailable", reason=reason) from None
        if document is None:
            raise ReadDeclined(problems.USER_UNKNOWN, "unknown")
        return document

    def _answer(self, request: Request, document: bytes) -> Response:
        etag = hashlib.sha256(document).hexdigest()[:32]
        unchanged = request.if_none_match.contains_weak(etag)
        self._metrics.reads.labels("unchanged" if unchanged else "found").inc()
        if unchanged:
            response = Response(status=304)
        else:
            response = Response(document, mimetype="application/json")
        response.set_etag(etag)
        response.headers.add(*_CACHING)
        return response

    def _decline(self, declined: ReadDeclined) -> Response:
        self._metrics.reads.labels(declined.result).inc()
        problem, instance = declined.problem, new_instance()
        if problem is not problems.USER_UNKNOWN and self._log_throttle.take():
            log.warning(
                "read declined",
                problem=problem.code,
                status=problem.status,
                reason=declined.reason,
                instance=instance,
                lines_left_out=self._log_throttle.left_out(),
            )
        return respond(problem, instance=instance, headers=[_CACHING, *declined.headers])


def _presented(header: str) -> str:
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _stranger(presented: str) -> ReadDeclined:
    wrong = ', error="invalid_token"' if presented else ""
    return ReadDeclined(
        problems.UNAUTHORIZED,
        "unauthorized",
        reason="unknown token" if presented else "no bearer token",
        header=("WWW-Authenticate", _CHALLENGE + wrong),
    )
