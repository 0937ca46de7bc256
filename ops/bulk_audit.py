"""Audit entries for operations on many rows: one when it is requested, one when it ends."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from models.tables import AuditLog
from runtime.ledger.catalogues import OPERATOR


def record_bulk_action(
    engine: Engine,
    action: str,
    outcome: str,
    *,
    actor: str,
    reason: str | None,
    targets: Sequence[tuple[str, str]],
    after: Any,
) -> None:
    """Commit one audit entry for each target, a pair of type and id, in its own transaction."""
    rows = [
        {
            "actor": actor,
            "action": action,
            "outcome": outcome,
            "origin": OPERATOR,
            "target_type": target_type,
            "target_id": target_id,
            "user_id": target_id if target_type == "user" else None,
            "after": after,
            "reason": reason,
        }
        for target_type, target_id in targets
    ]
    with engine.begin() as connection:
        connection.execute(sa.insert(AuditLog), rows)
