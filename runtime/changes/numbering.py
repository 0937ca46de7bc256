"""Gives every committed change its cursor, and tells whoever listens.

One at a time gives numbers, under a lock that is free only after COMMIT. So whoever sees a cursor
has all smaller ones before him, whatever committed late, and no other transaction, however long,
holds this one up. See docs/decisions/0011.
"""

import json
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text

CHANNEL: Final = "paidup_entitlement_changes"
"""What applications LISTEN to."""

LOCK: Final = 0x7061_6964_6E75  # "paidnu"
MOST_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """What one transaction gave numbers to; ``cursor`` is the highest of them."""

    changes: int
    cursor: int

    @property
    def maybe_more(self) -> bool:
        """Whether it took as many as it may."""
        return self.changes == MOST_AT_ONCE


def number(engine: Engine) -> Numbered | None:
    """Number the changes that wait, and NOTIFY; None if none waits or somebody else is at it."""
    with engine.connect() as connection:
        if not connection.scalar(_ANY_WAITS) or not connection.scalar(_TAKE_TURN, {"lock": LOCK}):
            return None
        numbered = _number(connection)
        if numbered is not None:
            connection.commit()
        return numbered


def _number(connection: Connection) -> Numbered | None:
    changes, cursor = connection.execute(_NUMBER, {"most": MOST_AT_ONCE}).one()
    if not changes:
        return None
    # PostgreSQL delivers it after COMMIT; it says only how far to read, so it always fits.
    told = json.dumps({"cursor": cursor, "changes": changes})
    connection.execute(_NOTIFY, {"channel": CHANNEL, "told": told})
    return Numbered(changes=changes, cursor=cursor)


_ANY_WAITS = text("SELECT EXISTS (SELECT FROM waiting_changes)")
_TAKE_TURN = text("SELECT pg_try_advisory_xact_lock(:lock)")
_NOTIFY = text("SELECT pg_notify(:channel, :told)")

# By the number in the audit: transactions that touch one source wait for each other, so there
# the order of the audit is the order of events.
_NUMBER = text(
    """
    WITH chosen AS (
        SELECT audit_id FROM waiting_changes ORDER BY audit_id LIMIT :most
    ), taken AS (
        DELETE FROM waiting_changes USING chosen
        WHERE waiting_changes.audit_id = chosen.audit_id RETURNING waiting_changes.audit_id
    ), numbered AS (
        INSERT INTO numbered_changes (cursor, audit_id)
        SELECT (SELECT coalesce(max(cursor), 0) FROM numbered_changes)
               + row_number() OVER (ORDER BY audit_id), audit_id
        FROM taken RETURNING cursor
    )
    SELECT count(*), max(cursor) FROM numbered
    """
)
