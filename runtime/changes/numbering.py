"""Give every committed entitlement change its cursor, and NOTIFY applications.

One transaction at a time gives out numbers, under a lock that is free only after COMMIT. A reader
that sees a cursor has therefore seen every smaller one, however late its change committed. Other
transactions, however long, delay nothing. See docs/decisions/0011.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text

from runtime.changes.notification import notify

LOCK: Final = 0x7061_6964_6E75  # "paidnu"
MAX_AT_ONCE: Final = 1000
MAX_BATCHES: Final = 20
"""Most batches of one call, so that a stop never waits long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """The changes that one transaction numbered; ``cursor`` is the highest of them."""

    changes: int
    cursor: int

    @property
    def maybe_more(self) -> bool:
        """True if the batch was full."""
        return self.changes == MAX_AT_ONCE


def number_waiting(engine: Engine) -> None:
    """Number what waits, in at most ``MAX_BATCHES`` transactions; an error leaves the rest."""
    for _ in range(MAX_BATCHES):
        numbered = number_batch(engine)
        if numbered is None or not numbered.maybe_more:
            return


def number_batch(engine: Engine) -> Numbered | None:
    """Number one batch and NOTIFY; None if nothing waits or another process is numbering."""
    with engine.connect() as connection:
        if not connection.scalar(_ANY_WAITS) or not connection.scalar(_TAKE_TURN, {"lock": LOCK}):
            return None
        numbered = _number(connection)
        if numbered is not None:
            connection.commit()
        return numbered


def _number(connection: Connection) -> Numbered | None:
    found = connection.execute(_NUMBER, {"most": MAX_AT_ONCE}).one()
    if not found.changes:
        return None
    notify(
        connection,
        cursor=found.cursor,
        changes=found.changes,
        epoch=found.epoch,
        users=found.users,
    )
    return Numbered(changes=found.changes, cursor=found.cursor)


_ANY_WAITS = text("SELECT EXISTS (SELECT FROM waiting_changes)")
# The audit is read by key, also by a plan that was made while it was small.
_TAKE_TURN = text(
    "SELECT pg_try_advisory_xact_lock(:lock), set_config('enable_seqscan', 'off', true)"
)

# In the order of the audit log. Transactions that touch one source wait for each other, so for one
# source this is the order of events.
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
        FROM taken RETURNING cursor, audit_id
    ), raised AS (
        SELECT log.user_id, max(log.version) AS version
        FROM numbered JOIN audit_logs AS log ON log.id = numbered.audit_id
        WHERE log.version IS NOT NULL GROUP BY log.user_id
    )
    SELECT count(*) AS changes, max(cursor) AS cursor,
           coalesce((SELECT epoch FROM database_epoch WHERE one_row), '') AS epoch,
           coalesce((SELECT json_object_agg(user_id, version ORDER BY user_id) FROM raised), '{}')
               AS users
    FROM numbered
    """
)
