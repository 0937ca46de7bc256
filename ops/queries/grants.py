"""Query the grants that people made, with their ends and what is in force of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedGrant:
    """One grant; ``ended_by`` and the two after it are None unless a person ended it.

    ``state`` is ``in force``, ``begins later``, ``over`` or ``ended``.
    """

    grant: str
    user_id: str
    plan_code: str | None
    features: Mapping[str, Any]
    starts_at: datetime
    until: datetime | None
    state: str
    realm: str
    actor: str
    reason: str
    made_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    end_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantFilter:
    """The grants to list: of one user or of all, those that end soon, also those that are over."""

    user: str | None = None
    ending: timedelta | None = None
    over: bool = False


def list_grants(
    connection: Connection, wanted: GrantFilter, *, limit: int
) -> tuple[list[ListedGrant], int]:
    """Return the grants that match, and how many there are: what ends first comes first."""
    values = {"user": wanted.user, "ending": wanted.ending, "over": wanted.over}
    rows = connection.execute(_LIST, {**values, "limit": limit}).mappings()
    return [ListedGrant(**row) for row in rows], int(connection.scalar(_COUNT, values) or 0)


def find_grant(connection: Connection, grant: str) -> ListedGrant | None:
    """Return the grant with an id, None if there is none."""
    found = connection.execute(_ONE, {"grant": grant, "user": None}).mappings().first()
    return None if found is None else ListedGrant(**found)


_MATCHING = """
    SELECT made.subject AS grant, made.user_id, made.says ->> 'plan_code' AS plan_code,
           made.says -> 'features' AS features,
           CAST(made.says ->> 'starts_at' AS timestamptz) AS starts_at,
           CAST(made.says ->> 'until' AS timestamptz) AS until,
           CASE WHEN ended.id IS NOT NULL THEN 'ended'
                WHEN CAST(made.says ->> 'until' AS timestamptz) <= now() THEN 'over'
                WHEN CAST(made.says ->> 'starts_at' AS timestamptz) > now() THEN 'begins later'
                ELSE 'in force' END AS state,
           made.realm, made.actor, made.reason, made.made_at,
           ended.made_at AS ended_at, ended.actor AS ended_by, ended.reason AS end_reason
    FROM operator_statements AS made
    LEFT JOIN operator_statements AS ended
        ON ended.subject = made.subject AND ended.kind = 'grant_ended'
    WHERE made.kind = 'grant'
      AND (CAST(:user AS text) IS NULL OR made.user_id = :user)
"""
_CHOSEN = f"""
    SELECT * FROM ({_MATCHING}) AS each
    WHERE (:over OR state IN ('in force', 'begins later'))
      AND (CAST(:ending AS interval) IS NULL
           OR state = 'in force' AND until <= now() + CAST(:ending AS interval))
"""  # noqa: S608 - our own words
_LIST = text(f'{_CHOSEN} ORDER BY until NULLS LAST, made_at, "grant" LIMIT :limit')
_COUNT = text(f"SELECT count(*) FROM ({_CHOSEN}) AS chosen")  # noqa: S608 - our own words
_ONE = text(f"{_MATCHING} AND made.subject = :grant")
