"""Answer requests that are not served with RFC 9457 documents from closed lists.

A problem reveals no secret, and repeats nothing of a request but what an operator states. Its
``instance`` is a new id, which is in the log line of the refusal, too.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from flask import Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from runtime.time_limits import RETRY_AFTER_SECONDS

MEDIA_TYPE: Final = "application/problem+json"
_UNAVAILABLE: Final = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One way in which a request can fail, as its sender sees it."""

    code: str
    status: int
    title: str
    detail: str

    @property
    def type(self) -> str:
        """The URI that identifies this problem to programs."""
        return f"urn:paidup:problem:{self.code}"


NOT_FOUND = Problem(
    code="not-found", status=404, title="Not found", detail="There is nothing at this path."
)
METHOD_NOT_ALLOWED = Problem(
    code="method-not-allowed",
    status=405,
    title="Method not allowed",
    detail="This path does not support this method; the Allow header lists those it does.",
)
BAD_REQUEST = Problem(
    code="bad-request", status=400, title="Bad request", detail="The request cannot be understood."
)


def problems_by_status(*more: Problem) -> Mapping[int, Problem]:
    """Map statuses to problems, for requests that Flask refuses by itself."""
    return {problem.status: problem for problem in (NOT_FOUND, METHOD_NOT_ALLOWED, *more)}


def new_instance() -> str:
    """Return a new id, by which an operator finds a refusal in the log."""
    return f"urn:uuid:{uuid4()}"


def respond(
    problem: Problem,
    *,
    instance: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    **members: object,
) -> Response:
    """Return the problem as a response; a 503 gets a Retry-After header."""
    document = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance or new_instance(),
        **members,
    }
    response = Response(json.dumps(document), problem.status, mimetype=MEDIA_TYPE)
    if problem.status == _UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    response.headers.extend(list(headers))
    return response


def respond_to_http_error(error: HTTPException, known: Mapping[int, Problem]) -> Response:
    """Return the problem for a request that Flask refuses by itself."""
    response = respond(known.get(error.code or 0, BAD_REQUEST))
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response
