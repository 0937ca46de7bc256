"""Serve one request of the read API: entitlements of users, or the changes of entitlements.

    request -admit-> token -read-> document -ETag-> 200 or 304

The circuit breaker decides whether PostgreSQL is asked. The ETag is a hash of the document, so it
changes exactly when the document does; a document contains no time of its own creation.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Protocol, TypeVar

from flask import Request, Response
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionLeft

from ops.console import problems
from ops.console.admission import Admission, RequestDeclined
from ops.console.changes import ChangesDocument
from ops.console.entitlements import Document
from ops.console.newest_cursor import NewestCursor, TooManyWaiting
from ops.console.read_queries import (
    ChangesQuery,
    Parameters,
    UnusableQuery,
    read_changes_query,
    read_named_users,
    read_no_query,
)
from runtime.changes.feed import Newest
from runtime.http.circuit_breaker import CircuitBreaker, CircuitOpen
from runtime.telemetry import Metrics
from runtime.time_limits import RETRY_AFTER_SECONDS

T = TypeVar("T")


class ReadsEntitlements(Protocol):
    """Reads entitlements; raises ``SQLAlchemyError`` if the database does not answer."""

    def of_user(self, user_id: str) -> Document:
        """Return the entitlements of one user."""

    def of_users(self, user_ids: Sequence[str]) -> Document:
        """Return the entitlements of several users."""

    def of_customer(self, customer_id: str) -> Document:
        """Return the entitlements of the users of a Stripe customer."""


class ReadsChanges(Protocol):
    """Reads changes; raises ``SQLAlchemyError`` if the database does not answer."""

    def start(self) -> ChangesDocument:
        """Return no change, and the newest cursor."""

    def after(self, cursor: int, *, limit: int) -> ChangesDocument:
        """Return the changes after a cursor."""


class ReadApi:
    """The read endpoints; one for each server process, shared by all its threads."""

    def __init__(
        self,
        *,
        entitlements: ReadsEntitlements,
        changes: ReadsChanges,
        newest_cursor: NewestCursor,
        admission: Admission,
        metrics: Metrics,
        breaker: CircuitBreaker,
    ) -> None:
        self._entitlements = entitlements
        self._changes = changes
        self._newest_cursor = newest_cursor
        self._admission = admission
        self._metrics = metrics
        self._breaker = breaker

    def entitlements_of_user(self, request: Request, user_id: str) -> Response:
        """Respond with the entitlements of one user."""
        return self._admission.serve(request, lambda _: self._of_user(request, user_id))

    def entitlements_of_many(self, request: Request) -> Response:
        """Respond with the entitlements of the users, or of the customer, in the query."""
        return self._admission.serve(request, lambda _: self._of_many(request))

    def changes(self, request: Request) -> Response:
        """Respond with the changes after a cursor; wait for one if there is none yet."""
        return self._admission.serve(request, lambda _: self._next_changes(request))

    def _of_user(self, request: Request, user_id: str) -> Response:
        _understood(request, read_no_query)
        return self._document(request, lambda: self._entitlements.of_user(user_id))

    def _of_many(self, request: Request) -> Response:
        named = _understood(request, read_named_users)
        customer = named.customer
        if customer is None:
            return self._document(request, lambda: self._entitlements.of_users(named.user_ids))
        return self._document(request, lambda: self._entitlements.of_customer(customer))

    def _document(self, request: Request, read: Callable[[], Document]) -> Response:
        started = perf_counter()
        document = self._read(read)
        etag = hashlib.sha256(document.body).hexdigest()[:32]
        if request.if_none_match.contains_weak(etag):
            self._metrics.reads.labels("unchanged").inc()
            response = Response(status=304)
        else:
            self._metrics.reads.labels("found" if document.known else "unknown").inc()
            response = Response(document.body, mimetype="application/json")
        response.set_etag(etag)
        self._metrics.read_seconds.observe(perf_counter() - started)
        return response

    def _next_changes(self, request: Request) -> Response:
        query = _understood(request, read_changes_query)
        page = self._read_changes(query)
        if page.empty and query.wait and query.after is not None:
            self._wait(page.newest, query.wait)
            page = self._read_changes(query)
        self._metrics.reads.labels("unchanged" if page.empty else "found").inc()
        return Response(page.body, mimetype="application/json")

    def _read_changes(self, query: ChangesQuery) -> ChangesDocument:
        after = query.after
        if after is None:
            return self._read(self._changes.start)
        page = self._read(lambda: self._changes.after(after, limit=query.limit))
        newest = page.newest
        if newest.cursor < after:
            raise RequestDeclined(
                problems.CURSOR_AHEAD, "invalid", newest=newest.cursor, epoch=newest.epoch
            )
        return page

    def _wait(self, known: Newest, seconds: int) -> None:
        try:
            self._newest_cursor.wait(known, seconds)
        except TooManyWaiting:
            retry = ("Retry-After", str(RETRY_AFTER_SECONDS))
            raise RequestDeclined(problems.TOO_MANY_WAITING, "limited", header=retry) from None

    def _read(self, read: Callable[[], T]) -> T:
        try:
            self._breaker.check_closed()
            return read()
        except CircuitOpen as refusal:
            raise RequestDeclined(
                problems.UNAVAILABLE, "unavailable", reason=str(refusal)
            ) from None
        except NoConnectionLeft:
            # The others have them all: if the database is at fault, one of those says so.
            reason = "no connection became free in time"
            raise RequestDeclined(problems.UNAVAILABLE, "unavailable", reason=reason) from None
        except SQLAlchemyError as error:
            self._breaker.failed(error)
            reason = type(getattr(error, "orig", error)).__name__
            raise RequestDeclined(problems.UNAVAILABLE, "unavailable", reason=reason) from None


def _understood(request: Request, read: Callable[[Parameters], T]) -> T:
    """Return what the query of a request asks for."""
    try:
        return read(request.args)
    except UnicodeDecodeError:
        error = UnusableQuery("the query is not UTF-8")
    except UnusableQuery as unusable:
        error = unusable
    raise RequestDeclined(replace(problems.UNUSABLE_QUERY, detail=str(error)), "invalid")
