"""From the books to the readers: number what is new, then bring the stream up to it.

Everything it has to remember is written where it belongs: which changes have a number, in the
database; which of them the stream has, in the stream. So it may die at any moment, and two may
run at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from runtime.changes.feed import changes_after, newest_cursor
from runtime.changes.numbering import number
from runtime.changes.stream import ChangeStream

log = structlog.get_logger(__name__)

LOOK_AGAIN_SECONDS: Final = 5.0
"""How soon a stream that somebody deleted is noticed, and written again, while nothing changes."""

SENT_AT_ONCE: Final = 500
MOST_BATCHES: Final = 20
"""Of one round, so that a stop never waits long."""


@dataclass(slots=True, kw_only=True)
class Relay:
    """One round brings readers as far as it can; ``clock`` is monotonic seconds."""

    engine: Engine
    stream: ChangeStream
    clock: Callable[[], float]
    _even_at: float = field(default=float("-inf"), init=False)

    def round(self) -> None:
        """Number, NOTIFY and stream what waits; any error leaves all of it for the next round."""
        if self._number() or self.clock() - self._even_at >= LOOK_AGAIN_SECONDS:
            self._even_at = float("-inf")
            if self._publish():
                self._even_at = self.clock()

    def _number(self) -> bool:
        for batch in range(MOST_BATCHES):
            numbered = number(self.engine)
            if numbered is None or not numbered.maybe_more:
                return numbered is not None or batch > 0
        return True

    def _publish(self) -> bool:
        """Whether the stream is even with the database now."""
        if not self.stream.length:
            self.stream.clear()
            return True
        # The stream before the database: what it has was committed before it got it.
        last = self.stream.last_cursor()
        with self.engine.connect() as connection:
            newest = newest_cursor(connection)
            if last > newest:
                self._begin_anew(last, newest)
                last = 0
            return self._send(connection, max(last, newest - self.stream.length))

    def _send(self, connection: Connection, cursor: int) -> bool:
        for _ in range(MOST_BATCHES):
            changes = changes_after(connection, cursor, limit=SENT_AT_ONCE)
            connection.rollback()  # no transaction stays open while Redis is asked
            if not changes:
                return True
            self.stream.add(changes)
            cursor = changes[-1].cursor
        return False

    def _begin_anew(self, last: int, newest: int) -> None:
        log.critical(
            "the database went back in time; readers of entitlement changes must begin anew",
            streamed=last,
            newest=newest,
        )
        self.stream.clear()
