"""Let requests of the console in by token, rate and role, and respond to those that are declined.

    request -token-> Token -rate limit-> -role-> answered by the route, with the token

A route that writes asks for the role ``operator``, and the name of the token is the actor in the
audit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil
from typing import Final

import structlog
from flask import Request, Response

from ops.console import problems
from ops.console.rate_limit import Bucket
from ops.console_tokens import Role, Token, find_token
from runtime.http.log_throttle import LogThrottle
from runtime.http.problems import Problem, new_instance, respond
from runtime.telemetry import Metrics

_CACHING: Final = ("Cache-Control", "private, no-cache")
_CHALLENGE: Final = 'Bearer realm="paidup"'
_LOG_LINES_A_SECOND: Final = 20

log = structlog.stdlib.get_logger(__name__)


class RequestDeclined(Exception):
    """Raised to decline a request, with its problem document, metric label and reason for the log.

    ``result`` is the label of ``billing_reads_total``.
    """

    def __init__(
        self,
        problem: Problem,
        result: str,
        *,
        reason: str = "",
        header: tuple[str, str] | None = None,
        **members: object,
    ) -> None:
        self.problem = problem
        self.result = result
        self.reason = reason
        self.headers = [header] if header else []
        self.members = members
        super().__init__(problem.title)


def require_role(token: Token, role: Role) -> None:
    """Decline the request of a token that may not act in this role.

    Raises:
        RequestDeclined: with the status 403.
    """
    if not token.role.may_act_as(role):
        detail = f"This token has the role {token.role}, and this path needs the role {role}."
        raise RequestDeclined(
            replace(problems.FORBIDDEN, detail=detail),
            "forbidden",
            reason=token.name,
            header=("WWW-Authenticate", f'{_CHALLENGE}, error="insufficient_scope"'),
        )


class Admission:
    """Admits the requests of one server process; shared by all its routes and threads."""

    def __init__(
        self,
        *,
        tokens: Sequence[Token],
        rate: int,
        metrics: Metrics,
        monotonic: Callable[[], float],
        time: Callable[[], float],
    ) -> None:
        self._tokens = tokens
        self._buckets = {token.name: Bucket(rate, clock=monotonic) for token in tokens}
        self._metrics = metrics
        self._time = time
        self._log_throttle = LogThrottle(_LOG_LINES_A_SECOND)

    def serve(
        self, request: Request, answer: Callable[[Token], Response], *, role: Role = Role.READER
    ) -> Response:
        """Respond with what ``answer`` returns for the token, or with a problem document.

        ``answer`` may raise ``RequestDeclined``, too.
        """
        try:
            token = self._admit(request)
            require_role(token, role)
            response = answer(token)
        except RequestDeclined as declined:
            return self._decline(declined)
        response.headers.add(*_CACHING)
        return response

    def _admit(self, request: Request) -> Token:
        presented = _presented(request.headers.get("Authorization", ""))
        token = find_token(self._tokens, presented) if presented else None
        if token is None:
            raise _stranger(presented)
        self._metrics.console_token_last_used.labels(token.name).set(self._time())
        if wait := self._buckets[token.name].take():
            header = ("Retry-After", str(ceil(wait)))
            raise RequestDeclined(
                problems.TOO_MANY_REQUESTS, "limited", reason=token.name, header=header
            )
        return token

    def _decline(self, declined: RequestDeclined) -> Response:
        self._metrics.reads.labels(declined.result).inc()
        problem, instance = declined.problem, new_instance()
        if self._log_throttle.take():
            log.warning(
                "request declined",
                problem=problem.code,
                status=problem.status,
                reason=declined.reason,
                instance=instance,
                lines_left_out=self._log_throttle.left_out(),
            )
        headers = [_CACHING, *declined.headers]
        return respond(problem, instance=instance, headers=headers, **declined.members)


def _presented(header: str) -> str:
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _stranger(presented: str) -> RequestDeclined:
    wrong = ', error="invalid_token"' if presented else ""
    return RequestDeclined(
        problems.UNAUTHORIZED,
        "unauthorized",
        reason="unknown token" if presented else "no bearer token",
        header=("WWW-Authenticate", _CHALLENGE + wrong),
    )
