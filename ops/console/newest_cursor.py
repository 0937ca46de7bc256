"""Let requests wait for the next entitlement change, or for another database epoch.

One statement reads the newest cursor and the epoch for all requests that wait, five times a second
and only while one waits, so that many waiting clients cost the database no more than one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from runtime.changes.feed import Newest

LOOK_SECONDS: Final = 0.2
"""Between two looks at the newest cursor. Changes get their cursors as often."""


class TooManyWaiting(Exception):
    """As many requests wait as may wait at once."""


class NewestCursor:
    """The newest cursor with its epoch, for requests that wait until it is another than theirs.

    ``look`` runs in a thread of its own, again and again, with pauses of ``LOOK_SECONDS``.
    """

    def __init__(
        self,
        read: Callable[[], Newest],
        *,
        most_waiting: int,
        failed: Callable[[SQLAlchemyError], None],
    ) -> None:
        """Take what reads both; ``failed`` is called if the database does not answer."""
        self._read = read
        self._most_waiting = most_waiting
        self._failed = failed
        self._changed = threading.Condition()
        self._waiting = 0
        self._newest = Newest(cursor=0, epoch="")
        self._looks_begun = 0
        self._newest_from = 0
        self._failures = 0
        self._stopped = False

    @property
    def waiting(self) -> int:
        """The requests that wait now."""
        return self._waiting

    def wait(self, known: Newest, seconds: float) -> None:
        """Return once cursor or epoch is another one, after ``seconds``, or when it stops.

        Only a look that began after the call counts: an earlier one may have missed the change
        that the caller's own read found. It returns when the database fails, too: the next read
        says how.

        Raises:
            TooManyWaiting: there is no room for one more.
        """
        with self._changed, self._counted():
            failures, looks = self._failures, self._looks_begun

            def over() -> bool:
                newer = self._newest_from > looks and self._newest != known
                return newer or self._stopped or self._failures != failures

            self._changed.wait_for(over, timeout=seconds)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._waiting >= self._most_waiting:
            raise TooManyWaiting
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def look(self) -> None:
        """Read the newest cursor if a request waits, and wake those that it concerns."""
        with self._changed:
            if not self._waiting:
                return
            self._looks_begun += 1
            look = self._looks_begun
        try:
            newest = self._read()
        except SQLAlchemyError as error:
            self._failed(error)
            with self._changed:
                self._failures += 1
                self._changed.notify_all()
            return
        with self._changed:
            self._newest, self._newest_from = newest, look
            self._changed.notify_all()

    def stop(self) -> None:
        """End all waits, and let none begin."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
