"""Sort an application's list on disk, so that a list of any length takes little memory.

SQLite keeps the rows in a temporary file without a name, which is gone with the process. It
compares texts by their bytes in UTF-8: the order of code points, and of PostgreSQL's collation "C".
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ops.compare.values import CurrentValue

_CACHE_KIB: Final = 32_768
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentAccess:
    """One value that an application has, and the line or row of the list that says so."""

    place: int
    user_id: str
    feature: str
    value: CurrentValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Two places of a list that give one feature of one user different values."""

    user_id: str
    feature: str
    first: int
    last: int


class SortedRows:
    """The rows of a list, to be read in the order of users."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def load(self, rows: Iterable[CurrentAccess]) -> None:
        """Take in every row."""
        self._database.execute("CREATE TABLE listed (user, feature, value, place)")
        self._database.executemany(
            "INSERT INTO listed VALUES (?, ?, ?, ?)",
            ((row.user_id, row.feature, _encode(row.value), row.place) for row in rows),
        )
        self._database.execute("CREATE INDEX by_user ON listed (user, feature, value, place)")

    def count(self) -> int:
        """Return the number of rows."""
        (number,) = self._database.execute("SELECT count(*) FROM listed").fetchone()
        return int(number)

    def contradictions(self) -> list[Contradiction]:
        """Return the first places that say different things about one feature of one user."""
        found = self._database.execute(
            "SELECT user, feature, min(place), max(place) FROM listed GROUP BY user, feature"
            " HAVING count(DISTINCT value) > 1 LIMIT ?",
            (_SHOWN,),
        )
        return [
            Contradiction(user_id=user, feature=feature, first=first, last=last)
            for user, feature, first, last in found
        ]

    def by_user(self) -> Iterator[tuple[str, str, CurrentValue]]:
        """Yield user, feature and value, in the order of users."""
        found = self._database.execute(
            "SELECT user, feature, min(value) FROM listed GROUP BY user, feature"
            " ORDER BY user, feature"
        )
        for user, feature, value in found:
            yield user, feature, json.loads(value)


@contextmanager
def sorting() -> Iterator[SortedRows]:
    """Yield an empty list on disk."""
    with closing(sqlite3.connect("", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        database.execute("BEGIN")
        yield SortedRows(database)


def _encode(value: CurrentValue) -> str:
    return json.dumps(str(value) if isinstance(value, Decimal) else value)
