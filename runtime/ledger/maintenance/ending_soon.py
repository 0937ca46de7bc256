"""Access that ends soon, announced once for each end, so that users can be warned in time.

The entry in the audit reaches applications as a change of the kind ``ends_soon``. It changes no
row. An end that moves is announced again once the new one is near.
"""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from models.tables import AuditLog
from runtime.ledger.bulk import insert_rows
from runtime.ledger.maintenance.reproject import CLOCK
from runtime.ledger.rows import TableName, from_plain, to_plain
from runtime.ledger.write import ENTITLEMENT

ENDS_SOON: Final = "entitlement.ends_soon"
"""The action in the audit."""

SOON: Final = timedelta(days=7)

LOCK: Final = 0x7061_6964_6573  # "paides"


def announce_ending_soon(engine: Engine, *, limit: int) -> int:
    """Announce at most ``limit`` grants in force that end within a week; return how many.

    Returns 0 while another process does the same.
    """
    with engine.begin() as connection:
        if not connection.scalar(_TAKE_TURN, {"lock": LOCK}):
            return 0
        found = connection.execute(_ENDING, {"within": SOON, "limit": limit}).mappings()
        entries = [_entry(dict(row)) for row in found]
        insert_rows(connection, AuditLog, entries)
    return len(entries)


def count_ending_soon(connection: Connection) -> int:
    """Count the grants in force that end within a week."""
    return int(connection.scalar(_COUNT, {"within": SOON}) or 0)


def count_ended(connection: Connection) -> int:
    """Count the grants whose end was within the last day, by time or by a person."""
    return int(connection.scalar(_ENDED) or 0)


def _entry(stored: dict[str, Any]) -> dict[str, Any]:
    row = to_plain(from_plain(TableName.ENTITLEMENTS, stored))
    row["catalogue_version"] = stored["catalogue_version"]
    return {
        "actor": CLOCK,
        "action": ENDS_SOON,
        "outcome": "done",
        "origin": CLOCK,
        "target_type": ENTITLEMENT,
        "target_id": f"{stored['source']}/{stored['plan_code']}",
        "event_id": None,
        "user_id": stored["user_id"],
        "before": row,
        "after": row,
        "reason": f"It ends at {stored['expires_at']:%Y-%m-%d %H:%M:%S}Z.",
    }


# The audit is read by key, also by a plan that was made while it was small.
_TAKE_TURN = text(
    "SELECT pg_try_advisory_xact_lock(:lock), set_config('enable_seqscan', 'off', true)"
)
_ENDS_WITHIN = "active AND expires_at > now() AND expires_at <= now() + :within"
# OFFSET 0 keeps the look into the audit apart: a join would compare each end with every entry, as
# long as PostgreSQL does not know how many there are.
# Who ends one of these grants meanwhile is named in the audit after this, or is not waited for.
_ENDING = text(
    f"SELECT * FROM user_entitlements AS granted WHERE {_ENDS_WITHIN}"  # noqa: S608 - our own words
    " AND NOT EXISTS (SELECT FROM audit_logs WHERE target_type = 'entitlement'"
    "  AND target_id = granted.source || '/' || granted.plan_code"
    f"  AND action = '{ENDS_SOON}' AND audit_logs.user_id = granted.user_id"
    "  AND CAST(after ->> 'expires_at' AS timestamptz) = granted.expires_at OFFSET 0)"
    " ORDER BY expires_at, source, plan_code LIMIT :limit FOR UPDATE OF granted SKIP LOCKED"
)
_ENDED = text(
    "SELECT count(*) FROM user_entitlements WHERE NOT active AND expires_at <= now()"
    " AND expires_at > now() - interval '1 day'"
)
_COUNT = text(f"SELECT count(*) FROM user_entitlements WHERE {_ENDS_WITHIN}")  # noqa: S608 - ours
