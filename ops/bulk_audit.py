"""Audit entries for operations on many rows: one when it is requested, one when it ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from models.tables import AuditLog
from runtime.ledger.catalogues import OPERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkAudit:
    """Audits one operation of an operator; ``targets`` are pairs of type and id."""

    engine: Engine
    actor: str
    reason: str | None
    targets: Sequence[tuple[str, str]]

    def record(self, action: str, outcome: str, after: Any) -> None:
        """Commit one audit entry for each target in its own transaction."""
        rows = [
            {
                "actor": self.actor,
                "action": action,
                "outcome": outcome,
                "origin": OPERATOR,
                "target_type": target_type,
                "target_id": target_id,
                "user_id": target_id if target_type == "user" else None,
                "after": after,
                "reason": self.reason,
            }
            for target_type, target_id in self.targets
        ]
        with self.engine.begin() as connection:
            connection.execute(sa.insert(AuditLog), rows)
