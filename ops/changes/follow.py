"""Follow entitlement changes: LISTEN says when to look, the view says what is new.

A notification may be lost with its connection. So no content is taken from it, and the view is also
read once a second without one. Behind a connection pooler that is the only way: LISTEN would stay
behind in a session of the pool, for any application that gets it next. A cursor counts under one
database epoch, so following ends with it.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

from sqlalchemy import Connection, Engine

from runtime.changes.feed import EntitlementChange, Newest, changes_after, read_newest
from runtime.changes.notification import CHANNEL
from runtime.database.deadline import DeadlineConnection
from runtime.database.engine import connector, conninfo_of

LOOK_SECONDS: Final = 1.0
AT_ONCE: Final = 500


FindUser = Callable[[Connection], str | None]
"""Returns the user whose changes are followed, which may be known only later; None for all."""


class EpochReplaced(Exception):
    """The database went back in time meanwhile, or was restored; ``newest`` is its state now."""

    def __init__(self, newest: Newest) -> None:
        self.newest = newest
        super().__init__(newest.epoch)


def follow(
    engine: Engine,
    database_url: str | None,
    after: Newest,
    *,
    find_user: FindUser,
    check: Callable[[], None],
) -> Iterator[EntitlementChange]:
    """Yield every change after a cursor, until ``check`` raises.

    Raises:
        EpochReplaced: the cursor is from before the database went back in time.
    """
    cursor = after.cursor
    with connector(conninfo_of(database_url), application_name="paidup changes")() as listener:
        listener.autocommit = True
        if not listener.behind_pooler:
            listener.execute(f"LISTEN {CHANNEL}")
        while True:
            check()
            with engine.connect() as connection:
                user = find_user(connection)
                found = changes_after(connection, cursor, limit=AT_ONCE, user=user)
                newest = read_newest(connection)
            if newest.epoch != after.epoch:
                raise EpochReplaced(newest)
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
