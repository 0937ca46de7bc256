"""Query who holds a plan, and the versions of the plans, with bounded work however many there are.

Who holds a plan has an active grant of it, also one whose end passed a moment ago.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

_CAPS: Final = (10_000, 1_000, 100)
_COUNTED_AT_ONCE: Final = 50_000
"""The holders of all plans that are counted together at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderCounts:
    """The number of holders by plan; a number above ``cap`` means more than ``cap``."""

    cap: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlansVersion:
    """One version of the plans; the highest is in force."""

    version: int
    applied_at: datetime
    applied_by: str
    reason: str | None


def count_holders(connection: Connection, codes: Sequence[str]) -> HolderCounts:
    """Count the users who hold each of these plans."""
    cap = next((cap for cap in _CAPS if cap * len(codes) <= _COUNTED_AT_ONCE), _CAPS[-1])
    rows = connection.execute(_COUNTS, {"codes": list(codes), "limit": cap + 1})
    return HolderCounts(cap=cap, counts={row.code: row.number for row in rows})


def holders_of(connection: Connection, code: str, *, after: str, limit: int) -> tuple[str, ...]:
    """Return users who hold a plan, by their ids, from behind one of them on."""
    values = {"code": code, "after": after, "limit": limit}
    return tuple(connection.scalars(_HOLDERS, values))


def plans_versions(connection: Connection, *, limit: int) -> tuple[PlansVersion, ...]:
    """Return the newest versions of the plans."""
    rows = connection.execute(_VERSIONS, {"limit": limit}).mappings()
    return tuple(PlansVersion(**row) for row in rows)


_COUNTS: Final = text(
    "SELECT code, (SELECT count(*) FROM (SELECT DISTINCT user_id FROM user_entitlements"
    " WHERE active AND plan_code = code LIMIT :limit) AS some) AS number"
    " FROM unnest(CAST(:codes AS text[])) AS code"
)
_HOLDERS: Final = text(
    "SELECT DISTINCT user_id FROM user_entitlements"
    " WHERE active AND plan_code = :code AND user_id > :after ORDER BY user_id LIMIT :limit"
)
_VERSIONS: Final = text(
    "SELECT version, applied_at, applied_by, reason FROM catalogues"
    " ORDER BY version DESC LIMIT :limit"
)
