"""Serve requests that state something: grants and links, made and ended.

    request -token, role-> Token -key, body-> statement request -transaction-> result, 201 or 200

A repeated key gets the first answer with the header ``Idempotent-Replayed``, as at Stripe. The
actor is the name of the token.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from flask import Request, Response
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from ops.console import problems
from ops.console.admission import Admission, RequestDeclined
from ops.console.idempotency_keys import declining_key, required_key
from ops.console.statement_bodies import (
    MAX_BODY_BYTES,
    UnusableBody,
    read_end,
    read_grant,
    read_link,
)
from ops.console.tokens import Role, Token
from ops.errors import CommandFailed
from ops.statements.grants import GrantOperations, GrantResult
from ops.statements.links import LinkOperations, LinkResult
from runtime.failures.classify import Transient, classify
from runtime.http.circuit_breaker import CircuitBreaker, CircuitOpen
from runtime.idempotency import CallResult
from runtime.ledger.errors import StatementRefused
from runtime.ledger.record import Ledger
from runtime.time_limits import RETRY_AFTER_SECONDS

_REPLAYED: Final = ("Idempotent-Replayed", "true")

Result = TypeVar("Result", GrantResult, LinkResult)


class StatementsApi:
    """The endpoints that write; one for each server process, shared by all its threads."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        grants: GrantOperations,
        links: LinkOperations,
        zone: ZoneInfo,
        admission: Admission,
        breaker: CircuitBreaker,
    ) -> None:
        self._ledger = ledger
        self._grants = grants
        self._links = links
        self._zone = zone
        self._admission = admission
        self._breaker = breaker

    def add_grant(self, request: Request) -> Response:
        """Respond with a new grant and what its user may do by it."""

        def answer(token: Token) -> Response:
            key, body = required_key(request), _body(request)
            grant = _usable(lambda: read_grant(body, _actor(token), self._zone))
            return self._stated(
                lambda connection: self._grants.add(connection, grant, key=key, scope=token.name),
                status=201,
            )

        return self._admission.serve(request, answer, role=Role.OPERATOR)

    def end_grant(self, request: Request, grant: str) -> Response:
        """Respond with a grant that has ended."""

        def answer(token: Token) -> Response:
            key, body = required_key(request), _body(request)
            end = _usable(lambda: read_end(body, grant, _actor(token)))
            return self._stated(
                lambda connection: self._grants.end(connection, end, key=key, scope=token.name),
                status=200,
            )

        return self._admission.serve(request, answer, role=Role.OPERATOR)

    def add_link(self, request: Request) -> Response:
        """Respond with a new link, and what moved and stayed."""

        def answer(token: Token) -> Response:
            key, body = required_key(request), _body(request)
            link = _usable(lambda: read_link(body, _actor(token)))
            return self._stated(
                lambda connection: self._links.add(connection, link, key=key, scope=token.name),
                status=201,
            )

        return self._admission.serve(request, answer, role=Role.OPERATOR)

    def end_link(self, request: Request, link: str) -> Response:
        """Respond with a link that was taken back."""

        def answer(token: Token) -> Response:
            key, body = required_key(request), _body(request)
            end = _usable(lambda: read_end(body, link, _actor(token)))
            return self._stated(
                lambda connection: self._links.end(connection, end, key=key, scope=token.name),
                status=200,
            )

        return self._admission.serve(request, answer, role=Role.OPERATOR)

    def _stated(self, work: Callable[[Connection], CallResult[Result]], *, status: int) -> Response:
        called = self._transact(work)
        response = Response(
            json.dumps(called.result.document()), status=status, mimetype="application/json"
        )
        if called.repeated:
            response.headers.add(*_REPLAYED)
        return response

    def _transact(self, work: Callable[[Connection], CallResult[Result]]) -> CallResult[Result]:
        try:
            self._breaker.check_closed()
            with declining_key():
                return self._ledger.transact(work)
        except CircuitOpen as refusal:
            raise _unavailable(str(refusal)) from None
        except (CommandFailed, StatementRefused) as error:
            detail = str(error).replace("--", "")
            raise RequestDeclined(
                replace(problems.STATEMENT_REFUSED, detail=detail), "invalid"
            ) from None
        except SQLAlchemyError as error:
            if not isinstance(classify(error), Transient):
                self._breaker.failed(error)
            raise _unavailable(type(getattr(error, "orig", error)).__name__) from None


def _actor(token: Token) -> str:
    return f"token:{token.name}"


def _body(request: Request) -> bytes:
    if request.mimetype != "application/json":
        raise RequestDeclined(problems.UNSUPPORTED_BODY, "invalid")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise RequestDeclined(problems.BODY_TOO_LARGE, "invalid")
    body = request.stream.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise RequestDeclined(problems.BODY_TOO_LARGE, "invalid")
    return body


def _usable(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UnusableBody as error:
        detail = f"{error}; /openapi.json lists the members."
        raise RequestDeclined(replace(problems.UNUSABLE_BODY, detail=detail), "invalid") from None


def _unavailable(reason: str) -> RequestDeclined:
    retry = ("Retry-After", str(RETRY_AFTER_SECONDS))
    return RequestDeclined(problems.NOT_RECORDED, "unavailable", reason=reason, header=retry)
