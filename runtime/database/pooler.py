"""Work through a connection pooler in transaction mode, such as PgBouncer.

Such a pooler gives each transaction any server session that is free. A prepared statement, a
setting, a temporary table or LISTEN of one session is missing in the next, and would stay behind
for the other applications of the pool. So a transaction brings its settings along, in the message
that begins it, and nothing else outlives it.
"""

from typing import Any

import psycopg
from psycopg.abc import Params, Query
from psycopg.rows import Row
from sqlalchemy import Connection

from runtime.database.deadline import DeadlineConnection
from runtime.settings import OWNER_VARIABLE


class PoolerBetween(Exception):
    """A command that needs the server itself reached a pooler."""

    def __init__(self) -> None:
        super().__init__(
            "a connection pooler stands between this command and PostgreSQL, and a migration needs"
            f" the server itself: set {OWNER_VARIABLE} to the server's own address;"
            " DATABASE_URL may stay as it is"
        )


def is_behind_pooler(connection: Connection) -> bool:
    """Return whether a pooler stands between, as found out when the connection was opened."""
    driver = connection.connection.driver_connection
    return isinstance(driver, DeadlineConnection) and driver.behind_pooler


def begin_with_settings(connection: Connection) -> None:
    """Begin a transaction of a connection behind a pooler, in one round trip; else do nothing.

    It is SQLAlchemy's handler for ``begin``; psycopg begins nothing in its autocommit mode.
    """
    driver = connection.connection.driver_connection
    if isinstance(driver, DeadlineConnection) and driver.behind_pooler:
        driver.autocommit = True
        statement = f"{_begin(driver)}; {driver.transaction_settings}"
        # Without parameters psycopg sends both statements as they are, in one message.
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _begin(driver: DeadlineConnection) -> str:
    begin = "BEGIN"
    if driver.isolation_level is not None:
        begin += f" ISOLATION LEVEL {driver.isolation_level.name.replace('_', ' ')}"
    if driver.read_only is not None:
        begin += " READ ONLY" if driver.read_only else " READ WRITE"
    return begin


class PooledStatement(psycopg.ClientCursor[Row]):
    """A cursor for autocommit behind a pooler: each statement is sent together with the settings.

    PostgreSQL runs the statements of one message as one transaction, so the settings end with it.
    """

    def execute(
        self,
        query: Query,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> "PooledStatement[Row]":
        """Execute the query with the settings of its connection; the results are the query's."""
        connection: Any = self.connection
        statement = self.mogrify(query, params)
        super().execute(
            f"{connection.transaction_settings}; {statement}".encode(),
            prepare=prepare,
            binary=binary,
        )
        self.nextset()
        return self
