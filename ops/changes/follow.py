"""Reads entitlement changes as they come: LISTEN says when to look, the view says what is new.

A notification may be lost with its connection, and a pooler may never deliver one, so nothing is
taken from it: whoever wakes looks, and whoever sleeps long looks, too.
"""

from collections.abc import Callable, Iterator
from typing import Final

import psycopg
from sqlalchemy import Engine

from runtime.changes.feed import Change, changes_after
from runtime.changes.numbering import CHANNEL
from runtime.database.engine import CONNECT_TIMEOUT_SECONDS, KEEPALIVES, conninfo_of

LOOK_SECONDS: Final = 1.0
AT_ONCE: Final = 500


def follow(
    engine: Engine,
    database_url: str | None,
    cursor: int,
    *,
    user: str | None,
    check: Callable[[], None],
) -> Iterator[Change]:
    """Every change after a cursor, for as long as ``check`` does not raise."""
    with psycopg.connect(
        conninfo_of(database_url),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        application_name="paidup changes",
        **KEEPALIVES,
    ) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        while True:
            check()
            found = _after(engine, cursor, user)
            for change in found:
                yield change
                cursor = change.cursor
            if len(found) < AT_ONCE:
                # All that came meanwhile is one reason to look.
                for _ in listener.notifies(timeout=LOOK_SECONDS, stop_after=1):
                    pass


def _after(engine: Engine, cursor: int, user: str | None) -> list[Change]:
    with engine.connect() as connection:
        return changes_after(connection, cursor, limit=AT_ONCE, user=user)
