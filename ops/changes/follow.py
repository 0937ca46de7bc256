"""Follow entitlement changes: LISTEN says when to look, the view says what is new.

A notification may be lost with its connection, and a pooler may never deliver one. So no content is
taken from it, and the view is also read once a second without one.
"""

from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import Engine

from runtime.changes.feed import EntitlementChange, changes_after
from runtime.changes.numbering import CHANNEL
from runtime.database.deadline import DeadlineConnection
from runtime.database.engine import KEEPALIVES, conninfo_of
from runtime.time_limits import CONNECT_TIMEOUT_SECONDS

LOOK_SECONDS: Final = 1.0
AT_ONCE: Final = 500


def follow(
    engine: Engine,
    database_url: str | None,
    cursor: int,
    *,
    user: str | None,
    check: Callable[[], None],
) -> Iterator[EntitlementChange]:
    """Yield every change after a cursor, until ``check`` raises."""
    with DeadlineConnection.connect(
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
                # Several notifications are one reason to read the view.
                for _ in listener.notifies(timeout=LOOK_SECONDS, stop_after=1):
                    pass


def _after(engine: Engine, cursor: int, user: str | None) -> list[EntitlementChange]:
    with engine.connect() as connection:
        return changes_after(connection, cursor, limit=AT_ONCE, user=user)
