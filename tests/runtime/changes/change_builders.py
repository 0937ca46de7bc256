"""Write audit entries as the ledger does, and read the changes that result."""

import json

from sqlalchemy import Connection, Engine, text

from runtime.changes.feed import EntitlementChange, changes_after

_INSERT = text(
    "INSERT INTO audit_logs (actor, action, outcome, origin, target_type, target_id, event_id,"
    " user_id, after) VALUES ('stripe', :action, 'done', 'stripe', 'entitlement', 'sub_1/premium',"
    " 'evt_1', :user, CAST(:after AS jsonb))"
)


def change(connection: Connection, user: str, *, action: str = "entitlement.granted") -> None:
    """Write one change in an open transaction."""
    after = json.dumps({"source": "sub_1", "plan_code": "premium"})
    connection.execute(_INSERT, {"action": action, "user": user, "after": after})


def changed(engine: Engine, *users: str) -> None:
    """Commit one change for each of these users."""
    with engine.begin() as connection:
        for user in users:
            change(connection, user)


def read(engine: Engine, cursor: int = 0) -> list[EntitlementChange]:
    """Return the changes in the view after a cursor."""
    with engine.connect() as connection:
        return changes_after(connection, cursor, limit=10_000)


def visible_changes(engine: Engine) -> list[tuple[int, str]]:
    """Return every visible change as cursor and user."""
    return [(each.cursor, each.user_id) for each in read(engine)]
