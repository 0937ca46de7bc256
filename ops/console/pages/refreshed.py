"""Keep a value that is expensive to read, for all who ask, and read it again while they look."""

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import structlog
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from ops.errors import OpsError

READING_ERRORS: Final = (OpsError, SQLAlchemyError, RedisError, OSError)
"""After these the last value stays, and is read again later."""

T = TypeVar("T")

log = structlog.stdlib.get_logger(__name__)


class RefreshedValue(Generic[T]):
    """A value that is read in a thread of its own, and only while it is asked for.

    Those who ask get the last value at once. So a server that does not answer makes a page old, and
    never slow.
    """

    def __init__(
        self,
        read: Callable[[], T],
        *,
        name: str,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the function that reads the value, and its shelf life."""
        self._read = read
        self._name = name
        self._seconds = seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known = threading.Event()
        self._value: T | None = None
        self._read_at = float("-inf")
        self._reading = False

    def get(self, *, wait: float = 0.0) -> T | None:
        """Return the last value; wait so many seconds for the first one, None if it is not there.

        A value that is older than its shelf life is read again meanwhile.
        """
        with self._lock:
            due = self._monotonic() - self._read_at >= self._seconds and not self._reading
            self._reading = self._reading or due
        if due:
            threading.Thread(target=self._refresh, name=self._name, daemon=True).start()
        self._known.wait(wait)
        return self._value

    def _refresh(self) -> None:
        try:
            self._value = self._read()
            self._known.set()
        except READING_ERRORS as error:
            log.warning("value not read", value=self._name, exc_info=error)
        finally:
            with self._lock:
                self._read_at, self._reading = self._monotonic(), False
