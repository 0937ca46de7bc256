"""Query one page of a list by keyset: the pages together are exactly the rows, in order.

A page begins beyond a cursor, which names a row of the list by a unique order. So rows that arrive
meanwhile hide no row and show none twice, and rows of one second keep an order. Where no index
answers a filter, a page looks through a bounded number of rows, and its cursor goes on from there.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    TextClause,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import aliased

from models.base import Base

PAGE: Final = 50
MAX_PAGE: Final = 500
SEARCHED_AT_ONCE: Final = 5000
"""The rows that one page looks through for a filter that no index answers."""

_NEVER_LISTED: Final = frozenset({"payload"})

T = TypeVar("T")
Conditions = Sequence[ColumnElement[bool] | TextClause]
ConditionsOn = Callable[[Any], Conditions]
"""Returns conditions on the model of a list, or on an alias of it."""


class UnusableCursor(ValueError):
    """A cursor that no page of this list gave: the list begins again without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """At most ``limit`` rows, those after a cursor or those before one; without one, the first."""

    after: str | None = None
    before: str | None = None
    limit: int = PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some rows in the order of their list; the cursors lead to the pages beside them.

    ``searched_to`` is set where the page ended after a bounded number of rows, with fewer matches
    than it may have: the time of the last row it looked at, or true where rows have no time. Then
    ``after`` goes on with the search, or ``before`` if the page was asked for by ``before``.
    """

    rows: tuple[T, ...]
    after: str | None
    before: str | None
    searched_to: datetime | bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Rows that an index finds in the order of a list: those with these values, by column.

    The index begins with the columns of ``pinned``. ``conditions`` are those of a partial index, or
    leave so few rows that they are sorted.
    """

    pinned: Mapping[str, Any] = field(default_factory=dict)
    conditions: Conditions = ()

    def matching(self, model: type[Base]) -> Conditions:
        """Return all of its conditions on rows of the model."""
        equal = [getattr(model, name) == value for name, value in self.pinned.items()]
        return [*equal, *self.conditions]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[T]):
    """A list of rows of a model; ``shape`` is a dataclass of some of its columns.

    ``order`` are columns that are unique together; ``since`` and ``until`` bound the first of them.
    Each row is of one branch at most. ``filters`` is left to reading rows. ``dated`` is the column
    with the time of a row.
    """

    shape: type[T]
    model: type[Base]
    order: tuple[str, ...]
    branches: tuple[Branch, ...] = (Branch(),)
    since: Any = None
    until: Any = None
    filters: ConditionsOn | None = None
    descending: bool = True
    dated: str | None = None
    searched_at_once: int = SEARCHED_AT_ONCE


def fetch_page(connection: Connection, listing: Listing[T], wanted: PageRequest) -> Page[T]:
    """Return a page of the list.

    Raises:
        UnusableCursor: the cursor is none of this list.
    """
    limit = max(1, min(wanted.limit, MAX_PAGE))
    back = wanted.after is None and wanted.before is not None
    reading = _Reading(listing, wanted.before if back else wanted.after, back=back)
    found = connection.execute(reading.matching(limit + 1)).mappings().all()
    rows, end, searched_to = found[:limit], None, None
    if len(found) > limit:
        end = _write_cursor([rows[-1][name] for name in listing.order])
    elif listing.filters and (last := reading.last_searched(connection)):
        end = _write_cursor(last[: len(listing.order)])
        searched_to = last[-1]
    begin = None
    if rows and (wanted.after or wanted.before):
        begin = _write_cursor([rows[0][name] for name in listing.order])
    names = [each.name for each in fields(listing.shape)]  # type: ignore[arg-type]
    shaped = [listing.shape(**{name: row[name] for name in names}) for row in rows]
    return Page(
        rows=tuple(shaped[::-1] if back else shaped),
        after=begin if back else end,
        before=end if back else begin,
        searched_to=searched_to or False,
    )


def cursor_length(cursor: str) -> int:
    """Return how many columns a cursor names; 0 for what is no cursor."""
    try:
        return len(json.loads(_unwrapped(cursor)))
    except (ValueError, TypeError, RecursionError):
        return 0


def capped_count(connection: Connection, query: Select[Any], cap: int) -> int:
    """Return how many rows a query has, and ``cap + 1`` where it has more than ``cap``."""
    some = query.limit(literal_column(str(cap + 1))).subquery()
    return int(connection.scalar(select(func.count()).select_from(some)) or 0)


class _Reading(Generic[T]):
    """The queries for one page, which begin at a cursor and go forward, or back."""

    def __init__(self, listing: Listing[T], cursor: str | None, *, back: bool) -> None:
        self._listing = listing
        self._down = listing.descending != back
        columns = [getattr(listing.model, name) for name in listing.order]
        self._start = None if cursor is None else _read_cursor(cursor, columns)

    def matching(self, limit: int) -> Select[Any]:
        """Return the query for the rows that meet all conditions."""
        filters = self._listing.filters
        if filters is None:
            return self._some(limit)
        rows = self._some(self._listing.searched_at_once).subquery()
        matching = aliased(self._listing.model, rows, adapt_on_names=True)
        query = select(*rows.c).where(*filters(matching))
        branches = self._listing.branches
        # The order of the rows as they come, so that no sort reads all of them.
        pinned = branches[0].pinned if len(branches) == 1 else {}
        ordered = self._ordered(query, rows.c, (*pinned, *self._listing.order))
        return ordered.limit(literal_column(str(limit)))

    def last_searched(self, connection: Connection) -> Sequence[Any] | None:
        """Return the key of the last row that is looked at if there are more; its time last."""
        listing = self._listing
        names = (*listing.order, *([listing.dated] if listing.dated else []))
        rows = self._first(names, listing.searched_at_once).subquery()
        time = [] if listing.dated else [literal(value=True)]
        query = self._ordered(select(*(rows.c[name] for name in names), *time), rows.c)
        last = query.offset(literal_column(str(listing.searched_at_once - 1)))
        return connection.execute(last).first()

    def _some(self, limit: int) -> Select[Any]:
        columns = self._listing.model.__table__.columns.keys()
        return self._first([name for name in columns if name not in _NEVER_LISTED], limit)

    def _first(self, names: Sequence[str], limit: int) -> Select[Any]:
        """Return the query for the first rows beyond the cursor."""
        most: ColumnElement[int] = literal_column(str(limit))
        each = [self._in_branch(branch, names).limit(most) for branch in self._listing.branches]
        if len(each) == 1:
            return each[0]
        rows = union_all(*(select(branch.subquery()) for branch in each)).subquery()
        return self._ordered(select(*rows.c), rows.c).limit(most)

    def _in_branch(self, branch: Branch, names: Sequence[str]) -> Select[Any]:
        """Return the query for the rows of a branch.

        With ranges instead of equal values, and the pinned columns in the order, no other index
        seems to give the order: along another one PostgreSQL may meet a row only at its end.
        """
        model, order = self._listing.model, self._listing.order
        query = select(*(getattr(model, name) for name in names)).where(*branch.conditions)
        query = query.where(*self._bounds(branch.pinned))
        return self._ordered(query, model.__table__.c, (*branch.pinned, *order))

    def _bounds(self, pinned: Mapping[str, Any]) -> list[ColumnElement[bool]]:
        listing, values = self._listing, [*pinned.values()]
        start = None if self._start is None else [*values, *self._start]
        lower = values if listing.since is None else [*values, listing.since]
        upper = values if listing.until is None else [*values, listing.until]
        columns = [getattr(listing.model, name) for name in (*pinned, *listing.order)]
        bounds = []
        if start and not self._down:
            bounds.append(tuple_(*columns) > _typed(start, columns))
        elif lower:
            bounds.append(tuple_(*columns[: len(lower)]) >= _typed(lower, columns))
        if start and self._down:
            bounds.append(tuple_(*columns) < _typed(start, columns))
        elif listing.until is not None:
            bounds.append(tuple_(*columns[: len(upper)]) < _typed(upper, columns))
        elif upper:
            bounds.append(tuple_(*columns[: len(upper)]) <= _typed(upper, columns))
        return bounds

    def _ordered(
        self, query: Select[Any], columns: Any, order: Sequence[str] | None = None
    ) -> Select[Any]:
        keys = [columns[name] for name in order or self._listing.order]
        return query.order_by(*(each.desc() if self._down else each for each in keys))


def _typed(values: Sequence[Any], columns: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
    pairs = zip(values, columns, strict=False)
    return tuple_(*(literal(value, column.type) for value, column in pairs))


def _write_cursor(key: Sequence[Any]) -> str:
    texts = [each.isoformat() if isinstance(each, datetime) else each for each in key]
    return urlsafe_b64encode(json.dumps(texts).encode()).decode().rstrip("=")


def _read_cursor(cursor: str, columns: Sequence[ColumnElement[Any]]) -> list[Any]:
    try:
        values = json.loads(_unwrapped(cursor))
        return [_read_value(*each) for each in zip(values, columns, strict=True)]
    except (ValueError, TypeError, RecursionError) as error:
        raise UnusableCursor(cursor) from error


def _unwrapped(cursor: str) -> bytes:
    if len(cursor) > _LONGEST_CURSOR:
        raise ValueError(cursor[:_LONGEST_CURSOR])
    return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


def _read_value(value: Any, column: ColumnElement[Any]) -> Any:
    kind = column.type.python_type
    if kind is datetime:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError(value)
        return at
    if type(value) is not kind or (kind is int and abs(value) >= _BIGGEST) or "\0" in str(value):
        raise ValueError(value)
    str(value).encode()  # half of a surrogate pair is no text for PostgreSQL
    return value


_BIGGEST: Final = 2**63
_LONGEST_CURSOR: Final = 4000
