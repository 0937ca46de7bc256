"""One request for what a user may do: admitted, counted against its token, answered.

    request -token-> name -limit-> turn -look up-> document -ETag-> 200 or 304

Whether PostgreSQL may be asked is the gate's to say. The ETag is made of the document's bytes, so
it changes exactly when the answer does; a document holds no time of its own making.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import structlog
from flask import Request, Response
from sqlalchemy.exc import SQLAlchemyError

from ops.console import problems
from ops.console.entitlements import ReadsEntitlements
from ops.console.rate_limit import Limits
from ops.console.tokens import Token, holder
from runtime.http.circuit_breaker import Gate, Shut
from runtime.http.log_throttle import Ration
from runtime.http.problems import Problem, new_instance, respond
from runtime.telemetry import Metrics

_CACHING: Final = ("Cache-Control", "private, no-cache")
_CHALLENGE: Final = 'Bearer realm="paidup"'
_LOG_LINES_A_SECOND: Final = 20

log = structlog.stdlib.get_logger(__name__)


class Declined(Exception):
    """No answer: what the reader is told, how it is counted, and what the log says beside it."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Two clocks: one that only goes forward, and the time of day."""

    monotonic: Callable[[], float]
    time: Callable[[], float]


class ReadApi:
    """The endpoint; one for each server process, used by all its threads."""

    def __init__(
        self,
        *,
        entitlements: ReadsEntitlements,
        tokens: Sequence[Token],
        rate: int,
        metrics: Metrics,
        gate: Gate,
        clocks: Clocks,
    ) -> None:
        self._entitlements = entitlements
        self._tokens = tokens
        self._limits = Limits((t.name for t in tokens), rate, clock=clocks.monotonic)
        self._metrics = metrics
        self._gate = gate
        self._clocks = clocks
        self._log_ration = Ration(_LOG_LINES_A_SECOND)

    def entitlements(self, request: Request, user_id: str) -> Response:
        """Answer with what the user may do; every answer is counted once."""
        started = perf_counter()
        try:
            self._admit(request)
            document = self._document(user_id)
        except Declined as declined:
            return self._decline(declined)
        answer = self._answer(request, document)
        self._metrics.read_seconds.observe(perf_counter() - started)
        return answer

    def _admit(self, request: Request) -> None:
        presented = _presented(request.headers.get("Authorization", ""))
        name = holder(self._tokens, presented) if presented else None
        if name is None:
            raise _stranger(presented)
        self._metrics.console_token_last_used.labels(name).set(self._clocks.time())
        if wait := self._limits.wait_of(name):
            header = ("Retry-After", str(wait))
            raise Declined(problems.TOO_MANY_REQUESTS, "limited", reason=name, header=header)

    def _document(self, user_id: str) -> bytes:
        try:
            self._gate.admit()
            document = self._entitlements.of(user_id)
        except Shut as shut:
            raise Declined(problems.UNAVAILABLE, "unavailable", reason=str(shut)) from None
        except SQLAlchemyError as error:
            self._gate.failed(error)
            reason = type(getattr(error, "orig", error)).__name__
            raise Declined(problems.UNAVAILABLE, "unavailable", reason=reason) from None
        if document is None:
            raise Declined(problems.USER_UNKNOWN, "unknown")
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

    def _decline(self, declined: Declined) -> Response:
        self._metrics.reads.labels(declined.result).inc()
        problem, instance = declined.problem, new_instance()
        if problem is not problems.USER_UNKNOWN and self._log_ration.take():
            log.warning(
                "read declined",
                problem=problem.code,
                status=problem.status,
                reason=declined.reason,
                instance=instance,
                lines_left_out=self._log_ration.left_out(),
            )
        return respond(problem, instance=instance, headers=[_CACHING, *declined.headers])


def _presented(header: str) -> str:
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _stranger(presented: str) -> Declined:
    wrong = ', error="invalid_token"' if presented else ""
    return Declined(
        problems.UNAUTHORIZED,
        "unauthorized",
        reason="the token is not one of ours" if presented else "no bearer token",
        header=("WWW-Authenticate", _CHALLENGE + wrong),
    )
