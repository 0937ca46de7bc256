"""Settings of every session with PostgreSQL: its time limits, and the forms that we read and write.

They are set by name and never left to the server, whose administrator may have changed any default
for the database or the role. Where a connection pooler stands between, a session is not ours: the
settings then go with each transaction, and no statement is prepared (``runtime/database/pooler``).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from runtime.database.deadline import DeadlineConnection
from runtime.time_limits import IDLE_IN_TRANSACTION_SECONDS, LOCK_SECONDS, STATEMENT_SECONDS

SESSION: dict[str, str] = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
}
"""Bounds below a claim's lease (a stuck transaction dies before its events are due again), and the
only forms of times, intervals and bytes that the driver reads."""

ENCODING: Final = "UTF8"


class UnusableEncoding(psycopg.OperationalError):
    """The database has another encoding than UTF8; some names could never be stored in it."""

    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"the encoding of the database is {encoding}, and Paidup needs {ENCODING} to store any"
            " name: create a database with `createdb --encoding=UTF8 --template=template0"
            " --locale=C.UTF-8 NAME`, and use that one"
        )


def set_up_session(connection: DeadlineConnection, session: Mapping[str, str] = SESSION) -> None:
    """Pin the settings of a new connection, which is in autocommit mode.

    Raises:
        UnusableEncoding: the database cannot store every text.
    """
    server = _look(connection)
    if server.encoding != ENCODING:
        raise UnusableEncoding(server.encoding)
    settings = {**session, "search_path": server.schema}
    if server.offers_lz4:
        # It takes a tenth of the time of PostgreSQL's own method, which is a third of all its work
        # for an event. As a setting and not as a column's, it is no part of the schema: a dump can
        # be restored anywhere.
        settings["default_toast_compression"] = "lz4"
    connection.finds_tables = server.has_tables
    if server.pid != connection.pgconn.backend_pid:
        connection.stand_behind_pooler(_set(settings, local=True).as_string(connection))
    else:
        # Not by libpq's "options": that would replace the operator's own, and poolers refuse it.
        connection.execute(_set(settings, local=False))


def _set(settings: Mapping[str, str], *, local: bool) -> sql.Composed:
    one = sql.SQL("set_config({}, {}, {})")
    every = (
        one.format(_OF_TRANSACTION.get(name, name) if local else name, value, local)
        for name, value in settings.items()
    )
    return sql.SQL("SELECT {}").format(sql.SQL(", ").join(every))


_OF_TRANSACTION: Final = {"default_transaction_read_only": "transaction_read_only"}
"""A default holds from the next transaction on; inside one, its own setting has another name."""


class _Server(NamedTuple):
    """A server session as we find it."""

    pid: int
    """The protocol said which process answers. A pooler makes up a number of its own."""
    encoding: str
    has_tables: bool
    schema: str
    """The one schema that holds our tables, quoted; without tables, the one to create them in."""
    offers_lz4: bool
    """False as well if the administrator chose a method of compression."""


def _look(connection: psycopg.Connection[Any]) -> _Server:
    row = connection.execute(_LOOK).fetchone()
    assert row is not None, "one row, always"  # noqa: S101 - for types
    return _Server(*row)


# An application may have tables of the same names in a schema of its own, and the search path may
# lead there. `database_epoch` is ours alone. The path that was chosen for this role or in its URL
# decides, so that several Paidups fit into one database, each in a schema of its own. Another path
# is one that the whole database has, or that another application left behind in a pooler's session:
# it hides the only Paidup there is from no connection.
_LOOK: Final = """
SELECT
    pg_backend_pid(),
    current_setting('server_encoding'),
    found.schema IS NOT NULL,
    quote_ident(coalesce(found.schema, current_schema(), 'public')),
    found.offers_lz4
FROM (
    SELECT
        coalesce(
            min(nspname) FILTER (WHERE pg_class.oid = to_regclass('database_epoch')),
            CASE WHEN count(*) = 1 AND (current_schema() IS NULL OR NOT settings.chosen)
            THEN min(nspname) END
        ) AS schema,
        settings.offers_lz4
    FROM (
        SELECT
            bool_or(name = 'search_path' AND source IN ('client', 'user', 'database user'))
                AS chosen,
            bool_or(
                name = 'default_toast_compression' AND source = 'default' AND 'lz4' = ANY(enumvals)
            ) IS TRUE AS offers_lz4
        FROM pg_settings WHERE name IN ('search_path', 'default_toast_compression')
    ) AS settings
    LEFT JOIN (
        pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        AND relname = 'database_epoch' AND relkind = 'r'
    ) ON true
    GROUP BY settings.chosen, settings.offers_lz4
) AS found
"""
