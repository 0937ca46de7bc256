"""Read the entitlement changes after a cursor as one document: one statement, one snapshot."""

import json
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine

from ops.console.shared_reads import SharedReads
from runtime.changes.feed import Newest, read_newest

_PAGE: Final = """
WITH page AS (
    SELECT cursor, user_id, source, plan_code, change, before, after, event_id, reason, occurred_at,
        version, epoch
    FROM entitlement_changes WHERE cursor > %(after)s ORDER BY cursor LIMIT %(limit)s
)
SELECT newest.cursor, newest.epoch,
    (SELECT max(cursor) FROM page),
    (SELECT coalesce(json_agg(page ORDER BY cursor), '[]') FROM page)::text
FROM entitlement_epoch AS newest
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesDocument:
    """A document with changes in order.

    ``cursor`` is where to go on, ``newest`` the highest cursor that was there and the epoch. A page
    is empty if there is no change after the cursor that was asked for.
    """

    body: bytes
    cursor: int
    newest: Newest
    empty: bool


class Changes:
    """Reads pages from PostgreSQL; each method raises ``SQLAlchemyError`` if that is late.

    Requests that ask for the same page at the same moment share one read of it.
    """

    def __init__(self, engine: Engine) -> None:
        self._reads = SharedReads[ChangesDocument](engine)

    def after(self, cursor: int, *, limit: int) -> ChangesDocument:
        """Return at most ``limit`` changes after a cursor."""
        values = {"after": cursor, "limit": limit}

        def read(connection: Connection) -> ChangesDocument:
            newest, epoch, last, changes = connection.exec_driver_sql(_PAGE, values).one()
            at = Newest(cursor=newest, epoch=epoch)
            return _page(changes, cursor=cursor if last is None else last, newest=at)

        return self._reads.read((cursor, limit), read)

    def start(self) -> ChangesDocument:
        """Return no change, and the newest cursor to go on from."""

        def read(connection: Connection) -> ChangesDocument:
            newest = read_newest(connection)
            return _page("[]", cursor=newest.cursor, newest=newest)

        return self._reads.read("start", read)


def _page(changes: str, *, cursor: int, newest: Newest) -> ChangesDocument:
    tail = json.dumps({"cursor": cursor, "more": cursor < newest.cursor, "epoch": newest.epoch})
    body = f'{{"changes": {changes}, {tail[1:]}'
    return ChangesDocument(body=body.encode(), cursor=cursor, newest=newest, empty=changes == "[]")
