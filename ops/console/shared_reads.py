"""Let equal reads of the same moment share one statement.

A change wakes all requests that wait, and each of them reads the same page. While one of them waits
for a connection, equal reads join it. Once its statement begins, no read joins it any more, so each
answer comes from a snapshot that was taken after its request.
"""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine

from ops.console.connections import ask

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Reads through one engine; all threads share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._not_begun: dict[Hashable, Future[T]] = {}

    def read(self, key: Hashable, question: Callable[[Connection], T]) -> T:
        """Return the answer to a question; questions are equal if their keys are.

        Raises:
            SQLAlchemyError: if the database did not answer in time, to all that share the read.
        """
        with self._lock:
            joined = self._not_begun.get(key)
            if joined is None:
                own = self._not_begun[key] = Future()
        return self._lead(key, own, question) if joined is None else joined.result()

    def _lead(self, key: Hashable, own: "Future[T]", question: Callable[[Connection], T]) -> T:
        def begin(connection: Connection) -> T:
            self._close(key, own)
            return question(connection)

        try:
            answer = ask(self._engine, begin)
        except BaseException as error:
            self._close(key, own)
            own.set_exception(error)
            raise
        own.set_result(answer)
        return answer

    def _close(self, key: Hashable, own: "Future[T]") -> None:
        with self._lock:
            if self._not_begun.get(key) is own:
                del self._not_begun[key]
