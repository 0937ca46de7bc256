"""Query what is in force for a user, in as many steps as there are different sets of features.

An index orders the grants in force of a user by a hash of what they give, then by their end. A step
goes from one hash to the next and reads one grant of each: the one that ends last. Of ten
thousand grants of one plan it reads one, and where numbers add up it counts the others.
"""

from datetime import datetime

from sqlalchemy import Connection, text

from billing.projection.effective import AlikeGrants
from models.projected import GIVEN_HASH

_OWN = "FROM user_entitlements WHERE user_id = :user_id AND active"
_SAME = f"{_OWN} AND {GIVEN_HASH} = given.hash AND (expires_at IS NULL OR expires_at > :at)"
ALIKE = text(f"""
    WITH RECURSIVE given (hash) AS (
        (SELECT {GIVEN_HASH} {_OWN} ORDER BY 1 LIMIT 1)
        UNION ALL
        SELECT next.hash FROM given CROSS JOIN LATERAL (
            SELECT {GIVEN_HASH} AS hash {_OWN} AND {GIVEN_HASH} > given.hash ORDER BY 1 LIMIT 1
        ) AS next
    )
    SELECT longest.*, counted.*
    FROM given CROSS JOIN LATERAL (
        SELECT entitlements, per_seat, expires_at AS last_end {_SAME}
        ORDER BY expires_at DESC NULLS FIRST LIMIT 1
    ) AS longest CROSS JOIN LATERAL (
        SELECT count(*) AS number, min(expires_at) AS first_end {_SAME}
        AND longest.per_seat <> '{{}}'
    ) AS counted
""")  # noqa: S608 - our own words


def load_alike_grants(
    connection: Connection, user_id: str, at: datetime
) -> tuple[AlikeGrants, ...]:
    """Return what is in force for a user now and still is at a moment."""
    found = connection.execute(ALIKE, {"user_id": user_id, "at": at}).mappings()
    return tuple(AlikeGrants(**row) for row in found)
