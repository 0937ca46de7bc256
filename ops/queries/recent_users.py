"""Query the users whose access or money changed last."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

_ENTRIES: Final = 2000
"""The newest entries of the audit that are looked through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentUser:
    """A user, and the last change of theirs that the audit has."""

    user_id: str
    at: datetime
    action: str


def recently_changed(connection: Connection, limit: int) -> tuple[RecentUser, ...]:
    """Return the users of the newest entries of the audit, the newest first."""
    found = connection.execute(_RECENT, {"entries": _ENTRIES, "limit": limit}).mappings()
    return tuple(RecentUser(**row) for row in found)


_RECENT: Final = text(
    "SELECT user_id, occurred_at AS at, action FROM ("
    " SELECT DISTINCT ON (user_id) user_id, occurred_at, action, id"
    " FROM (SELECT * FROM audit_logs ORDER BY id DESC LIMIT :entries) AS newest"
    " WHERE user_id IS NOT NULL ORDER BY user_id, id DESC"
    ") AS each ORDER BY id DESC LIMIT :limit"
)
