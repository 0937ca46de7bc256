"""What operators had done to many rows at once, in the audit: asked for, and ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from models.tables import AuditLog
from runtime.ledger.catalogues import OPERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """On whose word what is done; ``targets`` are (type, id), each of which gets an entry."""

    engine: Engine
    actor: str
    reason: str | None
    targets: Sequence[tuple[str, str]]

    def note(self, action: str, outcome: str, after: Any) -> None:
        """Commit an entry for each target, in a transaction of its own."""
        rows = [
            {
                "actor": self.actor,
                "action": action,
                "outcome": outcome,
                "origin": OPERATOR,
                "target_type": kind,
                "target_id": name,
                "user_id": name if kind == "user" else None,
                "after": after,
                "reason": self.reason,
            }
            for kind, name in self.targets
        ]
        with self.engine.begin() as connection:
            connection.execute(sa.insert(AuditLog), rows)
