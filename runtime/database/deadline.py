"""A connection that waits for an answer no longer than a deadline on our side.

A server that is frozen and not dead sends no error, its own time limits freeze with it, and its
kernel goes on acknowledging what we send, so neither ``statement_timeout`` nor
``tcp_user_timeout`` ends the wait. After the deadline the connection is closed, because the answer
may still come.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection

from runtime.time_limits import ANSWER_SECONDS


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"PostgreSQL did not answer within {seconds:g} s: is it frozen?")


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection of psycopg; ``answer_seconds`` bounds each wait, None removes the bound."""

    answer_seconds: float | None = ANSWER_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for an answer.

        Raises:
            NoAnswer: the caller gave no ``timeout`` of its own and ``answer_seconds`` are over.
        """
        if timeout is not None or self.answer_seconds is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.answer_seconds)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.close()
            raise NoAnswer(self.answer_seconds) from error


@contextmanager
def without_deadline(connection: Connection) -> Iterator[None]:
    """Let this connection wait without end until the block ends: a migration may take hours."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, DeadlineConnection), "not opened by connector()"  # noqa: S101 - types
    driver.answer_seconds = None
    try:
        yield
    finally:
        del driver.answer_seconds
