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
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from ops.console import problems
from ops.console.admission import Admission, RequestDeclined
from ops.console.idempotency_keys import declining_key, required_key
from ops.console.statement_bodies import (
    MAX_BODY_BYTES,
    UnusableBody,
    in_members,
    read_end,
    read_grant,
    read_link,
)
from ops.console_tokens import Role, Token
from ops.errors import CommandFailed
from ops.statements.grants import GrantOperations, GrantResult, NoSuchStatement
from ops.statements.links import LinkOperations, LinkResult
from runtime.failures.classify import Infrastructure, Permanent, classify, lacks_right
from runtime.http.circuit_breaker import CircuitBreaker, CircuitOpen
from runtime.http.problems import Problem
from runtime.idempotency import CallResult
from runtime.ledger.errors import LedgerError, StatementRefused
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
        except NoSuchStatement as error:
            raise _refused(problems.STATEMENT_MISSING, error.says) from None
        except (CommandFailed, StatementRefused) as error:
            raise _refused(problems.STATEMENT_REFUSED, in_members(str(error))) from None
        except LedgerError as error:
            raise _unavailable(type(error).__name__) from None
        except SQLAlchemyError as error:
            raise self._not_recorded(error) from None

    def _not_recorded(self, error: SQLAlchemyError) -> RequestDeclined:
        """Return the problem of an error of the database, which may concern this request alone."""
        failure, name = classify(error), type(getattr(error, "orig", error)).__name__
        if isinstance(failure, Permanent):
            detail = "the database takes no such value; nothing was recorded"
            return _refused(problems.STATEMENT_REFUSED, detail, reason=name)
        # Who finds no connection free learns nothing of the server: those who have them do.
        away = isinstance(failure, Infrastructure) and not isinstance(error, NoConnectionLeft)
        if away and not lacks_right(failure):
            self._breaker.failed(error)
        return _unavailable(name)


def _actor(token: Token) -> str:
    return f"token:{token.name}"


def _body(request: Request) -> bytes:
    if request.query_string:
        detail = "This path takes no query: the body says everything."
        raise _refused(problems.UNUSABLE_QUERY, detail)
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
        raise _refused(problems.UNUSABLE_BODY, detail) from None


def _refused(problem: Problem, detail: str, *, reason: str = "") -> RequestDeclined:
    return RequestDeclined(replace(problem, detail=detail), "invalid", reason=reason)


def _unavailable(reason: str) -> RequestDeclined:
    retry = ("Retry-After", str(RETRY_AFTER_SECONDS))
    return RequestDeclined(problems.NOT_RECORDED, "unavailable", reason=reason, header=retry)
