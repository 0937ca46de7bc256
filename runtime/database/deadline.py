"""Close a connection to PostgreSQL that does not answer within a deadline on our side.

A server that is frozen and not dead sends no error, its own time limits freeze with it, and its
kernel goes on acknowledging what we send, so neither ``statement_timeout`` nor
``tcp_user_timeout`` ends the wait. After the deadline the connection is closed, because the answer
may still come.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, text

from runtime.time_limits import (
    ANSWER_SECONDS,
    CANCEL_SECONDS,
    PROBE_ANSWER_SECONDS,
    READING_IDLE_SECONDS,
    READING_STATEMENT_SECONDS,
)


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time; the connection is closed."""

    def __init__(self, seconds: float, *, pooler: bool) -> None:
        """Take whether a pooler stands, or may stand, between."""
        full = ", or is every session of the pooler in use" if pooler else ""
        super().__init__(f"PostgreSQL did not answer within {seconds:g} s: is it frozen{full}?")


class SessionLost(psycopg.OperationalError):
    """The session ended while it was waited for; the message is all that was said about it."""


_NO_CLASS_OF_ITS_OWN: Final = (psycopg.DatabaseError, psycopg.InternalError)
"""What psycopg raises where it knows no better class."""


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection of psycopg; ``answer_seconds`` bounds each wait, None removes the bound.

    An error that ends the connection is an ``OperationalError`` or has a SQLSTATE.
    """

    answer_seconds: float | None = ANSWER_SECONDS
    behind_pooler = False
    """A pooler stands between, so each transaction may have another session of the server."""
    transaction_settings = ""
    """The statement that gives a transaction behind a pooler its settings."""
    finds_tables = True
    """The database had Paidup's tables when this connection was opened."""

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for an answer.

        Raises:
            NoAnswer: the caller gave no ``timeout`` of its own and ``answer_seconds`` are over.
            SessionLost: psycopg found the connection closed and names no reason. A pooler passes on
                the last words of a session and adds its own, which are two answers to one COMMIT.
        """
        try:
            return self._wait_in_time(gen, interval, timeout)
        except psycopg.DatabaseError as error:
            if type(error) in _NO_CLASS_OF_ITS_OWN and error.sqlstate is None and self.closed:
                raise SessionLost(self.pgconn.get_error_message().strip()) from error
            raise

    def _wait_in_time(self, gen: PQGen[RV], interval: float, timeout: float | None) -> RV:
        if timeout is not None or self.answer_seconds is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.answer_seconds)
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.give_up()
            raise NoAnswer(self.answer_seconds, pooler=self.behind_pooler) from error

    def stand_behind_pooler(self, transaction_settings: str) -> None:
        """Prepare no statement, and keep the settings for ``runtime.database.pooler``."""
        self.behind_pooler = True
        self.transaction_settings = transaction_settings
        self.prepare_threshold = None

    def give_up(self) -> None:
        """Close the connection; a server that lives still runs the statement to its end."""
        self.close()


class ProbeConnection(DeadlineConnection):
    """A connection of a probe, which has a shorter deadline and leaves no session behind.

    A COMMIT that waits for a synchronous standby does not notice that its client left, so the
    session would stay until the standby is back, and each probe would add one.
    """

    answer_seconds = PROBE_ANSWER_SECONDS

    def give_up(self) -> None:
        """Ask the server to end the statement, then close the connection."""
        with suppress(psycopg.Error):
            self.cancel_safe(timeout=CANCEL_SECONDS)
        self.close()


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


@contextmanager
def reading_at_length(connection: Connection) -> Iterator[None]:
    """Begin a transaction that may read, and pause between two reads, without end.

    The limit for a lock stays.
    """
    with without_deadline(connection):
        connection.execute(_READ_AT_LENGTH)
        yield


_READ_AT_LENGTH = text(
    f"SELECT set_config('statement_timeout', '{READING_STATEMENT_SECONDS}s', true),"
    f" set_config('idle_in_transaction_session_timeout', '{READING_IDLE_SECONDS}s', true)"
)
