"""Write rows without the logic behind them: once as a limit, once by the million.

Both start from rows that Paidup wrote for some thousand events, so the rows are the same.
"""

import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from models.changes import NumberedChange, WaitingChange
from models.data_loss import DatabaseEpoch, DataLoss, LostSettlement
from models.tables import SchemaRelease, StoredCatalogue, UserVersion, metadata
from runtime.database.engine import connector, conninfo_of

Connection = psycopg.Connection[tuple[Any, ...]]

_OTHERS: Final = {
    table.__tablename__
    for table in (
        StoredCatalogue,
        WaitingChange,
        NumberedChange,
        DatabaseEpoch,
        DataLoss,
        LostSettlement,
        SchemaRelease,
    )
}
"""Tables that operators, a trigger, a timed job, the migration or the supervisor write."""

_OF_USERS: Final = UserVersion.__tablename__
"""Not copied: a user may have the same id in every copy, and has one version."""

_BATCH: Final = 100
_SHORT: Final = 300
"""The characters kept of a body by the million: nothing reads bodies of settled events."""

_ID: Final = re.compile(rb"(?<=_)(?=[a-z]*[A-Z0-9])([A-Za-z0-9]{6})[A-Za-z0-9]{4}")
"""The second of an id, which is replaced in every copy; the rest stays."""

_HOLE: Final = b"\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, its copied columns, and the rows of some events as text."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...] = ()


def tables(url: str, *, with_rows: bool = False) -> list[Table]:
    """Return every table that events write, without columns that number themselves."""
    with psycopg.connect(url) as connection:
        found = [Table(name=name, columns=_columns(connection, name)) for name in _names()]
        if not with_rows:
            return found
        return [Table(name=t.name, columns=t.columns, rows=_rows(connection, t)) for t in found]


def pipelined(url: str, wrote: Sequence[Table], events: int) -> float:
    """Return events per second if one connection writes just these rows, 100 events at a time."""
    batches = range(0, events, _BATCH)
    statements = [_insertion(table) for table in wrote]
    started = time.perf_counter()
    with connector(conninfo_of(url), application_name="bench")() as connection:
        for begin in batches:
            with connection.pipeline(), connection.cursor() as cursor:
                for table, statement in zip(wrote, statements, strict=True):
                    cursor.executemany(statement, _share(table.rows, begin, events))
                connection.commit()
    return events / (time.perf_counter() - started)


def fill(source_url: str, target_url: str, copies: int) -> None:
    """Copy the source's rows into the target so many times, each time with other ids."""
    with ThreadPoolExecutor(2) as both_processors:
        copied = [table for table in tables(source_url) if table.name != _OF_USERS]
        work = [(source_url, target_url, table, copies) for table in copied]
        list(both_processors.map(lambda each: _fill(*each), work))
    with psycopg.connect(target_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _names() -> list[str]:
    return [name for name in metadata.tables if name not in _OTHERS]


def _columns(connection: Connection, table: str) -> tuple[str, ...]:
    found = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
        " AND is_identity = 'NO' AND is_generated = 'NEVER'"
        " AND coalesce(column_default, '') NOT LIKE 'nextval%%'"
        " ORDER BY ordinal_position",
        [table],
    )
    return tuple(name for (name,) in found)


def _rows(connection: Connection, table: Table) -> tuple[tuple[str | None, ...], ...]:
    texts = (sql.SQL("{}::text").format(sql.Identifier(name)) for name in table.columns)
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(texts), sql.Identifier(table.name)
    )
    return tuple(connection.execute(query).fetchall())


def _insertion(table: Table) -> sql.Composed:
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table.name),
        _list(table.columns),
        sql.SQL(", ").join([sql.Placeholder()] * len(table.columns)),
    )


def _share(
    rows: tuple[tuple[str | None, ...], ...], begin: int, events: int
) -> tuple[tuple[str | None, ...], ...]:
    """Return a batch's part of a table's rows, if all events write alike."""
    return rows[len(rows) * begin // events : len(rows) * min(begin + _BATCH, events) // events]


def _list(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _fill(source_url: str, target_url: str, table: Table, copies: int) -> None:
    pieces = _ID.sub(rb"\1" + _HOLE, _copied(source_url, table)).split(_HOLE)
    with psycopg.connect(target_url) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute(_known(f"ALTER TABLE {table.name} DISABLE TRIGGER USER"))
        kept = list(_taken_down(connection, table.name))
        copy = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table.name), _list(table.columns)
        )
        with connection.cursor().copy(copy) as target:
            for number in range(copies):
                target.write((b"%04d" % number).join(pieces))
        for statement in kept:
            connection.execute(_known(statement))
        connection.execute(_known(f"ALTER TABLE {table.name} ENABLE TRIGGER USER"))


def _copied(url: str, table: Table) -> bytes:
    columns = [
        sql.SQL("left(payload, {})").format(_SHORT) if name == "payload" else sql.Identifier(name)
        for name in table.columns
    ]
    query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(
        sql.SQL(", ").join(columns), sql.Identifier(table.name)
    )
    with psycopg.connect(url) as connection, connection.cursor().copy(query) as source:
        return b"".join(bytes(part) for part in source)


def _taken_down(connection: Connection, table: str) -> Iterator[str]:
    """Drop indexes and constraints, and yield how to make them again: one sort is faster."""
    constraints = connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND contype IN ('p', 'u')",
        [table],
    )
    for name, definition in constraints.fetchall():
        connection.execute(_known(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
        yield f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [table]
    )
    for name, definition in indexes.fetchall():
        connection.execute(_known(f"DROP INDEX {name}"))
        yield definition


def _known(statement: str) -> bytes:
    """Return a statement that consists of PostgreSQL's own text or names."""
    return statement.encode()
