"""Query the results of replayed events, which the workers record in the audit log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, select

from models.tables import AuditLog
from runtime.database.one_of import one_of
from runtime.ledger.deliveries import REPLAY_SETTLED

DEAD_LETTERED: Final = "dead_letter.buried"
RESOLVED: Final = "dead_letter.replayed"
_ACTIONS: Final = (RESOLVED, DEAD_LETTERED, REPLAY_SETTLED)
"""From the least to the most specific."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTrace:
    """The most specific audit entry about the result of an event."""

    action: str
    actor: str
    after: Mapping[str, Any]
    reason: str | None


def current_mark(connection: Connection) -> int:
    """Return the newest audit id: every later entry has a higher one."""
    return connection.scalar(select(func.coalesce(func.max(AuditLog.id), 0))) or 0


def find_traces(connection: Connection, keys: Sequence[str], mark: int) -> dict[str, ReplayTrace]:
    """Return the result of each event that has one since the mark."""
    query = select(
        AuditLog.target_id, AuditLog.action, AuditLog.actor, AuditLog.after, AuditLog.reason
    ).where(
        AuditLog.target_type.in_(("event", "dead_letter")),
        one_of(AuditLog.target_id, keys),
        AuditLog.action.in_(_ACTIONS),
        AuditLog.id > mark,
    )
    rows = sorted(connection.execute(query), key=lambda row: _ACTIONS.index(row.action))
    return {
        row.target_id: ReplayTrace(
            action=row.action, actor=row.actor, after=row.after or {}, reason=row.reason
        )
        for row in rows
    }
