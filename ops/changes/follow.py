"""Follow entitlement changes: LISTEN says when to look, the view says what is new.

A notification may be lost with its connection. So no content is taken from it, and the view is also
read once a second without one. Behind a connection pooler that is the only way: LISTEN would stay
behind in a session of the pool, for any application that gets it next.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import Connection, Engine

from runtime.changes.feed import EntitlementChange, changes_after
from runtime.changes.numbering import CHANNEL
from runtime.database.deadline import DeadlineConnection
from runtime.database.engine import connector, conninfo_of

LOOK_SECONDS: Final = 1.0
AT_ONCE: Final = 500


FindUser = Callable[[Connection], str | None]
"""Returns the user whose changes are followed, which may be known only later; None for all."""


def follow(
    engine: Engine,
    database_url: str | None,
    cursor: int,
    *,
    find_user: FindUser,
    check: Callable[[], None],
) -> Iterator[EntitlementChange]:
    """Yield every change after a cursor, until ``check`` raises."""
    with connector(conninfo_of(database_url), application_name="paidup changes")() as listener:
        listener.autocommit = True
        if not listener.behind_pooler:
            listener.execute(f"LISTEN {CHANNEL}")
        while True:
            check()
            with engine.connect() as connection:
                user = find_user(connection)
                found = changes_after(connection, cursor, limit=AT_ONCE, user=user)
            for change in found:
                yield change
                cursor = change.cursor
            if len(found) < AT_ONCE:
                _wait_for_changes(listener)


def _wait_for_changes(listener: DeadlineConnection) -> None:
    if listener.behind_pooler:
        time.sleep(LOOK_SECONDS)
        return
    # Several notifications are one reason to read the view.
    for _ in listener.notifies(timeout=LOOK_SECONDS, stop_after=1):
        pass
