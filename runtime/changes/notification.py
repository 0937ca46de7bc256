"""The notification that tells applications how far to read, and of which users."""

import json
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, text

CHANNEL: Final = "paidup_entitlement_changes"
"""The channel that applications LISTEN to."""

MAX_BYTES: Final = 7900
"""PostgreSQL refuses a payload of 8,000 bytes."""


def notify(
    connection: Connection, *, cursor: int, changes: int, epoch: str, users: Mapping[str, int]
) -> None:
    """Notify all that LISTEN, after COMMIT; ``users`` are left out where they do not fit.

    ``users`` has the version that the last of the changes gave each user.
    """
    payload = payload_of(cursor=cursor, changes=changes, epoch=epoch, users=users)
    connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


def payload_of(*, cursor: int, changes: int, epoch: str, users: Mapping[str, int]) -> str:
    """Return the payload, in at most ``MAX_BYTES``."""
    stated = {"cursor": cursor, "changes": changes, "epoch": epoch}
    whole = json.dumps({**stated, "users": users}, ensure_ascii=False)
    if len(whole.encode()) <= MAX_BYTES:
        return whole
    return json.dumps({**stated, "users": None})


_NOTIFY: Final = text("SELECT pg_notify(:channel, :payload)")
