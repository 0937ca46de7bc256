"""Read what an application grants from its own database, by a query that can change nothing.

The query is declared as a cursor, for which PostgreSQL takes one SELECT and nothing else, in a
transaction that is read-only. Rows are streamed.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from ops.compare.current_file import refuse
from ops.compare.current_rows import WrongRecord, check_columns, read_record
from ops.compare.sorted_rows import CurrentAccess
from ops.errors import CommandFailed, first_line
from runtime.database.deadline import DeadlineConnection
from runtime.database.engine import KEEPALIVES, conninfo_of
from runtime.time_limits import (
    APPLICATION_ANSWER_SECONDS,
    APPLICATION_STATEMENT_SECONDS,
    CONNECT_TIMEOUT_SECONDS,
)

VARIABLE: Final = "PAIDUP_APPLICATION_DATABASE_URL"
_READ_AT_ONCE: Final = 2000
_SHOWN_MISTAKES: Final = 1000


def read_query(database_url: str | None, query: str, *, wide: bool) -> Iterator[CurrentAccess]:
    """Yield every value that a query of the application's database finds.

    Raises:
        CommandFailed: the database or the query failed, or rows have mistakes; it says which.
    """
    if database_url is None:
        raise CommandFailed(f"{VARIABLE} is not set: set it to the URL of your own database")
    mistakes: list[str] = []
    try:
        with closing(_connect(database_url)) as connection:
            for number, record in _records(connection, query, wide=wide):
                try:
                    yield from read_record(number, record, wide=wide)
                except WrongRecord as wrong:
                    mistakes.append(f"row {number}: {wrong}")
                    if len(mistakes) == _SHOWN_MISTAKES:
                        break
    except WrongRecord as wrong:
        raise CommandFailed(f"the result of the query {wrong}; nothing was compared") from wrong
    except psycopg.Error as error:
        said = f"the database of {VARIABLE} refused or failed: {first_line(error)}"
        raise CommandFailed(f"{said}; nothing was compared") from error
    refuse("the result of the query", mistakes)


def _connect(database_url: str) -> DeadlineConnection:
    connection = DeadlineConnection.connect(
        conninfo_of(database_url),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        application_name="paidup compare",
        client_encoding="UTF8",
        **KEEPALIVES,
    )
    connection.answer_seconds = APPLICATION_ANSWER_SECONDS
    return connection


def _records(
    connection: DeadlineConnection, query: str, *, wide: bool
) -> Iterator[tuple[int, dict[str, Any]]]:
    # By words, and not by the settings of the session, which a pooler may not pass on.
    connection.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    connection.execute(f"SET LOCAL statement_timeout = '{APPLICATION_STATEMENT_SECONDS:g}s'")
    with connection.cursor("paidup_compare", row_factory=dict_row) as cursor:
        cursor.itersize = _READ_AT_ONCE
        cursor.execute(query.strip().rstrip(";").encode())
        check_columns([column.name for column in cursor.description or ()], wide=wide)
        yield from enumerate(cursor, start=1)
