"""The version of a user's entitlements grows by one for each step that changes a row of theirs.

A step is one event, statement or projection, so a batch of a hundred gives the versions of a
hundred batches of one. Transactions of one user's parties wait for each other here. So the rows of
all users are locked in one statement, in order, and nothing after it waits for another transaction.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from runtime.database.array_params import Column
from runtime.ledger.decisions import Decision, RowDeleted, RowUpserted
from runtime.ledger.rows import TableName


@dataclass(slots=True)
class PendingVersions:
    """The steps of one transaction that changed a row of each user, counted."""

    steps: Counter[str] = field(default_factory=Counter)

    def add_step(self, decisions: Iterable[Decision]) -> None:
        """Count a step once for each user of whom it changes a row."""
        self.steps.update({user for each in decisions for user in _user_changed_by(each)})

    def version_after(self, user_id: str, raised: Mapping[str, int], step: int) -> int:
        """Return the version that a step gave, by its place among the user's steps, from 1."""
        return raised[user_id] - self.steps[user_id] + step


def _user_changed_by(decision: Decision) -> tuple[str, ...]:
    match decision:
        case RowUpserted(table=TableName.ENTITLEMENTS, row=row, is_renewal=False):
            return row.key[:1]
        case RowDeleted(table=TableName.ENTITLEMENTS, key=key):
            return key[:1]
        case _:
            return ()


def raise_versions(connection: Connection, steps: Mapping[str, int]) -> dict[str, int]:
    """Raise the version of each user by the number of steps, and return the new versions.

    It takes the last locks of its transaction.
    """
    if not steps:
        return {}
    users = sorted(steps)
    sent = {"users": Column("TEXT", users), "steps": Column("BIGINT", [steps[u] for u in users])}
    raised = connection.exec_driver_sql(_RAISE, sent)
    return {user: version for user, version in raised}  # noqa: C416 - rows are not pairs to mypy


# A function scan returns the arrays in their order, so rows are locked in that order.
_RAISE: Final = """
INSERT INTO user_versions AS known (user_id, version, changed_at)
SELECT user_id, steps, now() FROM unnest(%(users)b::text[], %(steps)b::bigint[])
    AS sent (user_id, steps)
ON CONFLICT (user_id) DO UPDATE SET version = known.version + excluded.version,
    changed_at = greatest(known.changed_at, excluded.changed_at)
RETURNING user_id, version
"""
