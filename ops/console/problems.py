"""What a reader who gets no answer is told, beside what every server tells."""

from runtime.http.problems import Problem, by_status

UNAUTHORIZED = Problem(
    code="unauthorized",
    status=401,
    title="Unauthorized",
    detail="Send Authorization: Bearer with a token of this server.",
)
USER_UNKNOWN = Problem(
    code="user-unknown",
    status=404,
    title="User unknown",
    detail="Nothing that Stripe told was ever about a user of this id.",
)
TOO_MANY_REQUESTS = Problem(
    code="too-many-requests",
    status=429,
    title="Too many requests",
    detail="This token asks more often than it may; Retry-After says when it may again.",
)
UNAVAILABLE = Problem(
    code="unavailable",
    status=503,
    title="Not available",
    detail="The database cannot tell now. Nothing is known to have changed; ask again.",
)
NOT_READY = Problem(
    code="not-ready",
    status=503,
    title="Not ready",
    detail="Nothing can be told until what is listed under unsafe is mended.",
)

BY_STATUS = by_status()
"""Problems that the status alone tells, for what Flask refuses by itself."""
