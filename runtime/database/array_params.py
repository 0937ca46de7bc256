"""A column of many rows as one value: the binary array that PostgreSQL's ``array_recv`` reads.

psycopg sends any list and inspects each element. A column's type is known, so it is written in
one pass: 5 us of a worker's time for each event instead of 10. And a statement is prepared once,
where psycopg prepares it for every combination of number widths and columns without values.

The format, from ``array_send`` in PostgreSQL's src/backend/utils/adt/arrayfuncs.c: the number of
dimensions, a flag for nulls, the type of elements; of the one dimension its length and first
index; of each element its number of bytes, -1 for null, and the bytes that the type's own
``send`` function writes. Numbers are big-endian, times microseconds since 2000.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from psycopg import Connection, postgres, pq
from psycopg.adapt import Dumper
from psycopg.errors import NumericValueOutOfRange


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one type, named as SQL names it; None is null."""

    type: str
    values: Sequence[Any]


class ColumnDumper(Dumper):
    """Sends columns; the cast in the statement gives their type."""

    format = pq.Format.BINARY

    def dump(self, obj: Column) -> bytes:
        """Return the array as it goes over the wire.

        Raises:
            NumericValueOutOfRange: a number does not fit the type, as PostgreSQL would say.
        """
        try:
            return array_of(obj)
        except struct.error as error:
            raise NumericValueOutOfRange(f"{obj.type}: {error}") from error


def send_columns(connection: Connection[Any]) -> None:
    """Let statements of this connection take columns as parameters."""
    connection.adapters.register_dumper(Column, ColumnDumper)


def array_of(column: Column) -> bytes:
    """Return the column as ``array_send`` writes it."""
    kind = KINDS[column.type]
    if not column.values:
        return _NOTHING.pack(0, 0, kind.oid)
    elements = kind.write(column.values)
    head = _HEAD.pack(1, None in column.values, kind.oid, len(elements), 1)
    return b"".join([head, *elements])


_Values = Sequence[Any]


class _Kind(NamedTuple):
    """A type of elements: its number in every PostgreSQL, and the function that writes them."""

    oid: int
    write: Callable[[_Values], list[bytes]]


_NOTHING: Final = struct.Struct(">iiI")
_HEAD: Final = struct.Struct(">iiIii")
_NULL: Final = struct.pack(">i", -1)
_LENGTH: Final = struct.Struct(">i").pack
_INTEGER: Final = struct.Struct(">ii").pack
_BIGINT: Final = struct.Struct(">iq").pack
_FLOAT: Final = struct.Struct(">id").pack
_FALSE: Final = struct.pack(">i?", 1, False)  # noqa: FBT003 - struct takes values by position
_TRUE: Final = struct.pack(">i?", 1, True)  # noqa: FBT003 - struct takes values by position
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_DAY: Final = _EPOCH.date()
_MICROSECOND: Final = timedelta(microseconds=1)


def _texts(values: _Values) -> list[bytes]:
    return [_NULL if v is None else _LENGTH(len(e := v.encode())) + e for v in values]


def _integers(values: _Values) -> list[bytes]:
    return [_NULL if v is None else _INTEGER(4, v) for v in values]


def _bigints(values: _Values) -> list[bytes]:
    return [_NULL if v is None else _BIGINT(8, v) for v in values]


def _floats(values: _Values) -> list[bytes]:
    return [_NULL if v is None else _FLOAT(8, v) for v in values]


def _booleans(values: _Values) -> list[bytes]:
    return [_NULL if v is None else _TRUE if v else _FALSE for v in values]


def _times(values: _Values) -> list[bytes]:
    return [_NULL if v is None else _BIGINT(8, (v - _EPOCH) // _MICROSECOND) for v in values]


def _days(values: _Values) -> list[bytes]:
    return [_NULL if v is None else _INTEGER(4, (v - _FIRST_DAY).days) for v in values]


def _kind(name: str, write: Callable[[_Values], list[bytes]]) -> _Kind:
    return _Kind(postgres.types[name].oid, write)


KINDS: Final[Mapping[str, _Kind]] = {
    "TEXT": _kind("text", _texts),
    "INTEGER": _kind("int4", _integers),
    "BIGINT": _kind("int8", _bigints),
    "FLOAT": _kind("float8", _floats),
    "BOOLEAN": _kind("bool", _booleans),
    "TIMESTAMP WITH TIME ZONE": _kind("timestamptz", _times),
    "DATE": _kind("date", _days),
}
