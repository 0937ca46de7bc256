"""What a request that is not taken is told: RFC 9457 documents from a closed list.

A problem gives away no secret and repeats nothing of the request. Its ``instance`` is an id
made for the occasion, which the log line of the refusal carries too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from flask import Response

RETRY_AFTER_SECONDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One way in which a request can fail, as the sender is told about it."""

    code: str
    status: int
    title: str
    detail: str

    @property
    def type(self) -> str:
        """The URI by which programs tell problems apart."""
        return f"urn:paidup:problem:{self.code}"


NOT_FOUND = Problem(
    code="not-found", status=404, title="Not found", detail="There is nothing at this path."
)
METHOD_NOT_ALLOWED = Problem(
    code="method-not-allowed",
    status=405,
    title="Method not allowed",
    detail="This path does not answer this method; the Allow header names those it does.",
)
UNSUPPORTED_MEDIA_TYPE = Problem(
    code="unsupported-media-type",
    status=415,
    title="Unsupported media type",
    detail="Stripe sends application/json; nothing else is read here.",
)
BODY_TOO_LARGE = Problem(
    code="body-too-large",
    status=413,
    title="Body too large",
    detail="The body is larger than this endpoint reads.",
)
BODY_INCOMPLETE = Problem(
    code="body-incomplete",
    status=400,
    title="Body incomplete",
    detail="The connection ended before the announced length of the body.",
)
SIGNATURE_MISSING = Problem(
    code="signature-missing",
    status=400,
    title="Signature missing",
    detail="A webhook carries exactly one Stripe-Signature header.",
)
SIGNATURE_MALFORMED = Problem(
    code="signature-malformed",
    status=400,
    title="Signature malformed",
    detail="The Stripe-Signature header must have one t, a number of seconds, and a v1.",
)
SIGNATURE_MISMATCH = Problem(
    code="signature-mismatch",
    status=403,
    title="Signature mismatch",
    detail="The signature was made with none of this endpoint's secrets.",
)
TIMESTAMP_STALE = Problem(
    code="timestamp-stale",
    status=403,
    title="Timestamp too old",
    detail="The signature is older than the tolerance allows.",
)
TIMESTAMP_FUTURE = Problem(
    code="timestamp-future",
    status=403,
    title="Timestamp in the future",
    detail="The signature is dated further ahead than the tolerance allows.",
)
NOT_AN_EVENT = Problem(
    code="not-an-event",
    status=400,
    title="Not a Stripe event",
    detail="The body must be UTF-8 and a JSON object with a usable id and type.",
)
BAD_REQUEST = Problem(
    code="bad-request", status=400, title="Bad request", detail="The request cannot be understood."
)
UNAVAILABLE = Problem(
    code="unavailable",
    status=503,
    title="Not available",
    detail="The event cannot be kept safely now and was not taken. Send it again.",
)
NOT_READY = Problem(
    code="not-ready",
    status=503,
    title="Not ready",
    detail="Events are refused until what is listed under unsafe is mended.",
)

BY_STATUS: Final[Mapping[int, Problem]] = {
    problem.status: problem
    for problem in (NOT_FOUND, METHOD_NOT_ALLOWED, UNSUPPORTED_MEDIA_TYPE, BODY_TOO_LARGE)
}
"""Problems that the status alone tells, for what Flask refuses by itself."""


def new_instance() -> str:
    """An id by which a refusal is found in the log."""
    return f"urn:uuid:{uuid4()}"


def respond(problem: Problem, *, instance: str | None = None, **members: object) -> Response:
    """The problem as an answer; a 503 says when to come back."""
    document = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance or new_instance(),
        **members,
    }
    response = Response(json.dumps(document), problem.status, mimetype="application/problem+json")
    if problem.status == UNAVAILABLE.status:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
