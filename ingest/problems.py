"""List the problems of the webhook endpoint, besides those of every server."""

from runtime.http.problems import Problem, problems_by_status

UNSUPPORTED_MEDIA_TYPE = Problem(
    code="unsupported-media-type",
    status=415,
    title="Unsupported media type",
    detail="Stripe sends application/json; no other media type is accepted.",
)
BODY_TOO_LARGE = Problem(
    code="body-too-large",
    status=413,
    title="Body too large",
    detail="The body is larger than this endpoint accepts.",
)
BODY_INCOMPLETE = Problem(
    code="body-incomplete",
    status=400,
    title="Body incomplete",
    detail="The connection ended before the announced length of the body was received.",
)
SIGNATURE_MISSING = Problem(
    code="signature-missing",
    status=400,
    title="Signature missing",
    detail="A webhook must carry exactly one Stripe-Signature header.",
)
SIGNATURE_MALFORMED = Problem(
    code="signature-malformed",
    status=400,
    title="Signature malformed",
    detail="The Stripe-Signature header must have one t (a number of seconds) and a v1.",
)
SIGNATURE_MISMATCH = Problem(
    code="signature-mismatch",
    status=403,
    title="Signature mismatch",
    detail="The signature matches none of this endpoint's secrets.",
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
    detail="The signature lies further in the future than the tolerance allows.",
)
NOT_AN_EVENT = Problem(
    code="not-an-event",
    status=400,
    title="Not a Stripe event",
    detail="It must be UTF-8 and a JSON object with a usable id, type and created.",
)
UNAVAILABLE = Problem(
    code="unavailable",
    status=503,
    title="Not available",
    detail="The event cannot be stored safely now and was not accepted. Send it again.",
)
NOT_READY = Problem(
    code="not-ready",
    status=503,
    title="Not ready",
    detail="Events are refused until the problems listed under unsafe are fixed.",
)

BY_STATUS = problems_by_status(UNSUPPORTED_MEDIA_TYPE, BODY_TOO_LARGE)
"""Problems by status, for requests that Flask refuses by itself."""
