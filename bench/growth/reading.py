"""Count what one transaction reads: rows, entries of indexes, and bytes that PostgreSQL answers."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, Final, NamedTuple

from psycopg.errors import IdleInTransactionSessionTimeout, QueryCanceled
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

from bench.past import SCOPE
from runtime.database.deadline import NoAnswer
from runtime.failures.rehearsal import make_delivery
from runtime.ledger.record import Ledger

_ROWS: Final = text(
    "SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(oid)), 0)::int FROM pg_class"
    " WHERE relkind IN ('r', 'i') AND relnamespace = current_schema()::regnamespace"
)
"""Rows read without an index, and entries read of every index, since the counts were flushed."""

_FLUSH: Final = text("SELECT pg_stat_force_next_flush()")
"""Makes a session count from 0 after this transaction; by itself it does so once in a second."""


class AmountRead(NamedTuple):
    """The average of some transactions; ``rows`` are those of tables and entries of indexes."""

    rows: float
    kilobytes: float


_TOO_LONG: Final = (IdleInTransactionSessionTimeout, QueryCanceled, NoAnswer)


def unless_too_long(count: Callable[[], AmountRead]) -> AmountRead | None:
    """Return what was counted, or None if the transaction took longer than it may."""
    try:
        return count()
    except DBAPIError as error:
        if isinstance(error.orig, _TOO_LONG):
            return None
        raise


class ReadingCounter:
    """Counts what transactions on one engine read; each of them is rolled back.

    The engine has one connection, whose session counts.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ledger = Ledger(engine, livemode=SCOPE.livemode, accounts=SCOPE.accounts)
        self._bytes = 0
        event.listen(engine, "after_cursor_execute", self._count)

    def of_events(self, bodies: Sequence[bytes]) -> AmountRead:
        """Return the average of these events, each recorded alone, as a worker does it."""
        return _mean([self._of_event(body) for body in bodies])

    def of_work(self, work: Callable[[Connection], None]) -> AmountRead:
        """Return what one transaction with this work reads."""
        self._begin()
        return self._ledger.try_out(lambda connection: self._after(work, connection))

    def _of_event(self, body: bytes) -> AmountRead:
        self._begin()
        read: list[AmountRead] = []
        self._ledger.rehearse(
            [make_delivery(body)], lambda connection: read.append(self._read(connection))
        )
        return read[0]

    def _begin(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(_FLUSH)
        self._bytes = 0

    def _after(self, work: Callable[[Connection], None], connection: Connection) -> AmountRead:
        work(connection)
        return self._read(connection)

    def _read(self, connection: Connection) -> AmountRead:
        kilobytes = self._bytes / 1000
        return AmountRead(rows=connection.execute(_ROWS).scalar_one(), kilobytes=kilobytes)

    def _count(self, _connection: Connection, cursor: Any, *_: object) -> None:
        result = cursor.pgresult
        for row in range(result.ntuples):
            for column in range(result.nfields):
                self._bytes += len(result.get_value(row, column) or b"")


def _mean(amounts: Sequence[AmountRead]) -> AmountRead:
    return AmountRead(*map(fmean, zip(*amounts, strict=True)))
