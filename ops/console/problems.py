"""Problem documents of the read API, beside those that every server has."""

from runtime.http.problems import Problem, problems_by_status

UNAUTHORIZED = Problem(
    code="unauthorized",
    status=401,
    title="Unauthorized",
    detail="Send a token of this server in the header Authorization: Bearer <token>.",
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
