"""Audit entries as the ledger writes them, and what readers see of them."""

import json
from typing import Any

import redis
from sqlalchemy import Connection, Engine, text

from runtime.changes.feed import Change, changes_after

_INSERT = text(
    "INSERT INTO audit_logs (actor, action, outcome, origin, target_type, target_id, event_id,"
    " user_id, after) VALUES ('stripe', :action, 'done', 'stripe', 'entitlement', 'sub_1/premium',"
    " 'evt_1', :user, CAST(:after AS jsonb))"
)


def change(connection: Connection, user: str, *, action: str = "entitlement.granted") -> None:
    """One change, as far as its transaction knows it."""
    after = json.dumps({"source": "sub_1", "plan_code": "premium"})
    connection.execute(_INSERT, {"action": action, "user": user, "after": after})


def changed(engine: Engine, *users: str) -> None:
    """One committed change for each of these users."""
    with engine.begin() as connection:
        for user in users:
            change(connection, user)


def read(engine: Engine, cursor: int = 0) -> list[Change]:
    """What the view shows after a cursor."""
    with engine.connect() as connection:
        return changes_after(connection, cursor, limit=10_000)


def seen(engine: Engine) -> list[tuple[int, str]]:
    """Every change that readers see, by cursor and user."""
    return [(each.cursor, each.user_id) for each in read(engine)]


def streamed(client: redis.Redis) -> list[tuple[int, str]]:
    """Every entry of the stream, by id and user."""
    entries: Any = client.xrange("paidup:entitlement_changes")
    return [(int(at.partition(b"-")[0]), fields[b"user_id"].decode()) for at, fields in entries]
