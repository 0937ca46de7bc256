"""Problem documents of the read API, beside those that every server has."""

from runtime.http.problems import Problem, problems_by_status

UNAUTHORIZED = Problem(
    code="unauthorized",
    status=401,
    title="Unauthorized",
    detail="Send a token of this server in the header Authorization: Bearer <token>.",
)
FORBIDDEN = Problem(
    code="forbidden",
    status=403,
    title="Forbidden",
    detail="The role of this token does not include this path.",
)
KEY_MISSING = Problem(
    code="idempotency-key-missing",
    status=400,
    title="Idempotency key missing",
    detail="Send a new random key in the header Idempotency-Key, and the same key with each retry.",
)
KEY_INVALID = Problem(
    code="idempotency-key-invalid",
    status=400,
    title="Idempotency key invalid",
    detail="The header Idempotency-Key holds no key.",
)
KEY_IN_FLIGHT = Problem(
    code="idempotency-key-in-flight",
    status=409,
    title="Idempotency key in flight",
    detail="A request with this Idempotency-Key is not over: repeat it after the seconds in"
    " Retry-After.",
)
KEY_REUSED = Problem(
    code="idempotency-key-reused",
    status=422,
    title="Idempotency key reused",
    detail="This Idempotency-Key stands for another request: repeat that one unchanged, or send a"
    " new key.",
)
UNUSABLE_BODY = Problem(
    code="unusable-body",
    status=400,
    title="Unusable body",
    detail="Send the JSON object that /openapi.json describes.",
)
UNSUPPORTED_BODY = Problem(
    code="unsupported-media-type",
    status=415,
    title="Unsupported media type",
    detail="Send the body as application/json.",
)
BODY_TOO_LARGE = Problem(
    code="body-too-large",
    status=413,
    title="Body too large",
    detail="A statement has at most 65,536 bytes.",
)
STATEMENT_REFUSED = Problem(
    code="statement-refused",
    status=422,
    title="Statement refused",
    detail="What the request states cannot be recorded.",
)
STATEMENT_MISSING = Problem(
    code="statement-missing",
    status=404,
    title="Statement missing",
    detail="No grant or link has the id in the path.",
)
NOT_RECORDED = Problem(
    code="unavailable",
    status=503,
    title="Not available",
    detail="The database is unavailable, so nothing was recorded: repeat the request with the same"
    " Idempotency-Key after the seconds in Retry-After.",
)
UNUSABLE_QUERY = Problem(
    code="unusable-query",
    status=400,
    title="Unusable query",
    detail="Send the parameters that /openapi.json lists, within the bounds that it names.",
)
CURSOR_AHEAD = Problem(
    code="cursor-ahead",
    status=409,
    title="Cursor ahead",
    detail="No change has this cursor: it is from another database, or this one was restored to an"
    " earlier state. Read every user's entitlements again, then continue after newest.",
)
TOO_MANY_REQUESTS = Problem(
    code="too-many-requests",
    status=429,
    title="Too many requests",
    detail="This token exceeded its rate: retry after the seconds in Retry-After.",
)
TOO_MANY_WAITING = Problem(
    code="too-many-waiting",
    status=429,
    title="Too many waiting",
    detail="As many requests wait for a change as this server allows: retry after the seconds in"
    " Retry-After, or ask without wait.",
)
UNAVAILABLE = Problem(
    code="unavailable",
    status=503,
    title="Not available",
    detail="The database is unavailable: use your cached response, and retry later.",
)
NOT_READY = Problem(
    code="not-ready",
    status=503,
    title="Not ready",
    detail="The console cannot answer: fix the causes listed under unsafe.",
)

BY_STATUS = problems_by_status()
"""Problems by status, for requests that Flask refuses by itself."""
