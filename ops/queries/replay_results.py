"""What became of events since a moment, as the audit tells it: a replay leaves its traces there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, select

from models.tables import AuditLog
from runtime.ledger.deliveries import REPLAY_SETTLED

BURIED: Final = "dead_letter.buried"
CLOSED: Final = "dead_letter.replayed"
_TELLING: Final = (CLOSED, BURIED, REPLAY_SETTLED)
"""From what says least to what says most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The entry of the audit that says most about what became of an event."""

    action: str
    actor: str
    after: Mapping[str, Any]
    reason: str | None


def mark(connection: Connection) -> int:
    """This moment: every later entry of the audit has a higher number."""
    return connection.scalar(select(func.coalesce(func.max(AuditLog.id), 0))) or 0


def traces_since(connection: Connection, keys: Sequence[str], mark: int) -> dict[str, Trace]:
    """What became of those of these events of which anything became."""
    query = select(
        AuditLog.target_id, AuditLog.action, AuditLog.actor, AuditLog.after, AuditLog.reason
    ).where(
        AuditLog.target_type.in_(("event", "dead_letter")),
        AuditLog.target_id.in_(keys),
        AuditLog.action.in_(_TELLING),
        AuditLog.id > mark,
    )
    rows = sorted(connection.execute(query), key=lambda row: _TELLING.index(row.action))
    return {
        row.target_id: Trace(
            action=row.action, actor=row.actor, after=row.after or {}, reason=row.reason
        )
        for row in rows
    }
