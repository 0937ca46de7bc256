"""Problem documents of the read API, beside those that every server has."""

from runtime.http.problems import Problem, problems_by_status

UNAUTHORIZED = Problem(
    code="unauthorized",
    status=401,
    title="Unauthorized",
    detail="Send a token of this server in the header Authorization: Bearer <token>.",
)
USER_UNKNOWN = Problem(
    code="user-unknown",
    status=404,
    title="User unknown",
    detail="No event from Stripe ever named a user with this id: check the id.",
)
TOO_MANY_REQUESTS = Problem(
    code="too-many-requests",
    status=429,
    title="Too many requests",
    detail="This token exceeded its rate: retry after the seconds in Retry-After.",
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
